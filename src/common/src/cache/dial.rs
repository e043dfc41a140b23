//! Connections to Redis, and what is wrong with it in sentences for people.

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, InfoDict,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
};
use tokio::time::timeout;

use super::breaker::{Dial, Fault};
use super::config::RedisConfig;
use super::redis::show;
use super::server::{Kind, Password, RedisServer};

/// Commands that wait for their turn on a connection, at most; more wait before that.
const QUEUE: usize = 256;

/// A connection, which all requests share.
#[derive(Clone)]
pub(super) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) async fn query<T: FromRedisValue>(self, command: &Cmd) -> RedisResult<T> {
        match self {
            Link::Server(mut connection) => command.query_async(&mut connection).await,
            Link::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }

    /// Asks any one server.
    async fn ask<T: FromRedisValue>(self, command: Cmd) -> RedisResult<T> {
        match self {
            Link::Cluster(mut connection) => {
                let anyone = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                Ok(redis::from_redis_value(connection.route_command(command, anyone).await?)?)
            }
            link => link.query(&command).await,
        }
    }
}

/// Makes connections.
pub(super) struct Dialler {
    config: RedisConfig,
    epoch_key: Option<String>,
}

impl Dialler {
    /// With the key of the epoch that each new connection begins with.
    pub(super) fn new(config: &RedisConfig, epoch_key: Option<String>) -> Dialler {
        Dialler { config: config.clone(), epoch_key }
    }

    /// What is there, for people.
    pub(super) async fn describe(&self) -> Result<String, Fault> {
        let (link, master) = self.connect().await?;
        let about = |section: &str| redis::cmd("INFO").arg(section).to_owned();
        // An account that may not ask for it can do without.
        let info: Option<InfoDict> = link.clone().ask(about("server")).await.ok();
        let version = info.and_then(|info| info.get::<String>("redis_version"));
        let mut found = version.map_or("Redis".to_owned(), |version| format!("Redis {version}"));
        if let Some(master) = master {
            found += &format!(", master {master}");
        }
        if let Kind::Cluster = self.config.server.kind {
            let info: Option<String> = link.ask(redis::cmd("CLUSTER").arg("INFO").to_owned()).await.ok();
            let masters: Option<u32> = info.and_then(|info| InfoDict::new(&info).get("cluster_size"));
            found += &masters.map_or(String::new(), |masters| format!(", {masters} masters"));
        }
        Ok(found)
    }

    /// A connection that can be written through, and with Sentinel the address of the master.
    async fn connect(&self) -> Result<(Link, Option<String>), Fault> {
        // Sentinels are asked first, and a name may have several addresses.
        let patience = (self.config.connect_timeout + self.config.timeout) * 3;
        let connecting = async {
            let found = match &self.config.server.kind {
                Kind::Single { tls } => (self.server(*tls).await?, None),
                Kind::Sentinel { service } => self.master(service).await?,
                Kind::Cluster => (self.cluster().await?, None),
            };
            // A replica, a full disk and an account without rights all say so here.
            let mut probe = redis::cmd("SET");
            probe.arg(format!("{}tnv:probe", self.config.prefix)).arg(1).arg("PX").arg(1000);
            found.0.clone().query::<()>(&probe).await?;
            Ok(found)
        };
        match timeout(patience, connecting).await {
            Ok(found) => found.map_err(|error| fault(&error, &self.config)),
            Err(_) => Err(Fault::passing(format!("no connection within {patience:?}"))),
        }
    }

    async fn server(&self, tls: bool) -> RedisResult<Link> {
        let addresses = self.addresses(tls);
        let address = addresses.into_iter().next().ok_or((ErrorKind::InvalidClientConfig, "no host"))?;
        let client = Client::open(self.info(address)?)?;
        client.get_multiplexed_async_connection_with_config(&self.options()).await.map(Link::Server)
    }

    async fn master(&self, service: &str) -> RedisResult<(Link, Option<String>)> {
        let client = match self.ask_sentinels(service, false).await {
            // Sentinels that ask for a password are given the one of their master.
            Err(error) if error.code() == Some("NOAUTH") => self.ask_sentinels(service, true).await?,
            client => client?,
        };
        let link = client.get_multiplexed_async_connection_with_config(&self.options()).await?;
        Ok((Link::Server(link), Some(client.get_connection_info().addr().to_string())))
    }

    async fn ask_sentinels(&self, service: &str, authenticate: bool) -> RedisResult<Client> {
        let server = &self.config.server;
        let addresses = self.addresses(false);
        let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
            .set_client_to_redis_db(server.database)
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(user) = &server.user {
            builder = builder.set_client_to_redis_username(user);
            builder = if authenticate { builder.set_client_to_sentinel_username(user) } else { builder };
        }
        if let Some(Password(secret)) = &server.password {
            builder = builder.set_client_to_redis_password(secret);
            builder = if authenticate { builder.set_client_to_sentinel_password(secret) } else { builder };
        }
        builder.build()?.async_get_client().await
    }

    async fn cluster(&self) -> RedisResult<Link> {
        let nodes = self.addresses(false).into_iter().map(|address| self.info(address));
        // Without retries every redirection is an error, and so the end of the connection: no change of masters may
        // go unnoticed.
        let client = ClusterClientBuilder::new(nodes.collect::<RedisResult<Vec<_>>>()?)
            .retries(0)
            .connection_timeout(self.config.connect_timeout)
            .response_timeout(self.config.timeout)
            .tcp_settings(tcp())
            .build()?;
        client.get_async_connection().await.map(Link::Cluster)
    }

    fn addresses(&self, tls: bool) -> Vec<ConnectionAddr> {
        let address = |(host, port): (String, u16)| match tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        self.config.server.hosts.iter().cloned().map(address).collect()
    }

    fn info(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let RedisServer { user, password, database, .. } = &self.config.server;
        let mut settings = RedisConnectionInfo::default().set_db(*database);
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(Password(secret)) = password {
            settings = settings.set_password(secret);
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp()))
    }

    fn options(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.config.connect_timeout))
            // The breaker has the answers' time.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
    }
}

impl Dial for Dialler {
    type Link = Link;

    fn server(&self) -> String {
        self.config.server.to_string()
    }

    async fn dial(&self) -> Result<Link, Fault> {
        self.connect().await.map(|(link, _)| link)
    }

    async fn prepare(&self, link: Link) -> Result<(), Fault> {
        let Some(key) = &self.epoch_key else { return Ok(()) };
        let mut command = redis::cmd("SET");
        command.arg(key).arg(show(fresh_epoch()));
        link.query(&command).await.map_err(|error| fault(&error, &self.config))
    }
}

/// A command is a single packet, and waits for no other.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// One that has never been.
pub(super) fn fresh_epoch() -> u64 {
    rand::random()
}

/// An error in a sentence, with what to do.
pub(super) fn fault(error: &RedisError, config: &RedisConfig) -> Fault {
    let text = config.server.conceal(&error.to_string());
    let says = |what: &str| text.contains(what);
    if says("NOAUTH") {
        return Fault::lasting(
            "it asks for a password: give one in password_file, in the environment or in the URL",
        );
    }
    if error.kind() == ErrorKind::AuthenticationFailed || says("authentication failed") || says("WRONGPASS") {
        return Fault::lasting(
            "wrong user or password, or it has no password: correct password_file or the URL",
        );
    }
    let advice = match error.code() {
        Some("NOPERM") => "the user needs +get, +set, +mget and +del, on all keys that the servers use",
        Some("READONLY") => "it is a replica: give the address of the master, or redis+sentinel://",
        Some("MOVED" | "ASK") if !matches!(config.server.kind, Kind::Cluster) => {
            "it is a node of a cluster: write redis+cluster://"
        }
        Some("OOM") => "its memory is full: set maxmemory-policy to allkeys-lru",
        Some("MISCONF") => "it cannot save its data: see its log",
        _ if says("cluster support disabled") => "it is no cluster: write redis://",
        _ if says("ertificate") => {
            "its certificate is not signed by an authority of this system, or is for another \
                                    name; SSL_CERT_FILE may name the authority's"
        }
        _ => "",
    };
    if !advice.is_empty() {
        return Fault::lasting(format!("{advice} ({text})"));
    }
    if error.kind() == ErrorKind::MasterNameNotFoundBySentinel {
        return Fault::passing("the sentinels know no master of this name that is up");
    }
    if error.is_timeout() {
        return Fault::silence(config.timeout);
    }
    Fault::passing(text)
}
