//! The command line that every server shares.

use std::path::PathBuf;

use crate::config::{Settings, Sources, variable_name};

/// Options of every server; a role flattens them into its own command.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServerArgs {
    /// Configuration file [default: etc/ROLE.toml beside the folder of the program]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address to listen on, such as 0.0.0.0:21000; the same as --set listen=ADDR
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,

    /// Set one configuration key; may be repeated, the last value of a key wins
    // A plain string: a mistake in it is reported with all others, and without the password it may hold.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Check the configuration, look whether database and cache answer, report every mistake, and exit
    #[arg(long)]
    pub check: bool,

    /// Bring the tables in the database up to date, and exit; needs an account that may CREATE, ALTER and INDEX
    #[arg(long, conflicts_with = "check")]
    pub migrate: bool,
}

impl ServerArgs {
    /// Gathers the settings of `role` from the configuration file, the environment and these options.
    ///
    /// The file is `--config`, else the variable `TNV_<ROLE>_CONFIG`, else `../etc/<role>.toml` from the folder of
    /// the program. The last may be absent: the defaults are built in.
    pub fn settings(&self, role: &'static str) -> Settings {
        // Lossy, not skipped: a variable of ours that is no UTF-8 should be refused where it is read.
        let environment: Vec<(String, String)> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        self.settings_within(role, environment, default_file(role))
    }

    fn settings_within(
        &self,
        role: &'static str,
        environment: Vec<(String, String)>,
        default_file: Option<PathBuf>,
    ) -> Settings {
        let config = variable_name(role, "config");
        let from_variable = || environment.iter().find(|(name, value)| *name == config && !value.is_empty());
        let named = self.config.clone().or_else(|| from_variable().map(|(_, value)| PathBuf::from(value)));
        let listen = self.listen.iter().map(|address| ("listen".into(), address.clone(), "--listen".into()));
        let (pairs, malformed): (Vec<_>, Vec<_>) =
            self.set.iter().map(|text| text.split_once('=')).partition(Option::is_some);
        let set = pairs.into_iter().flatten().map(|(key, value)| {
            let key = key.trim();
            (key.to_owned(), value.to_owned(), format!("--set {key}"))
        });
        let mut settings = Settings::load(
            role,
            Sources {
                required: named.is_some(),
                file: named.or(default_file),
                overrides: listen.chain(set).collect(),
                environment,
            },
        );
        malformed.iter().for_each(|_| settings.misuse("--set", "expected KEY=VALUE"));
        settings
    }
}

fn default_file(role: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().and_then(std::fs::canonicalize).ok()?;
    Some(program.parent()?.parent()?.join("etc").join(format!("{role}.toml")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        server: ServerArgs,
    }

    fn settings(line: &[&str], environment: &[(&str, &str)], default_file: Option<PathBuf>) -> Settings {
        let command = Command::try_parse_from(["storage"].iter().chain(line)).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        command.server.settings_within("storage", environment, default_file)
    }

    #[test]
    fn set_wins_over_listen_and_listen_over_the_environment() {
        let environment = [("TNV_STORAGE_LISTEN", "c:3")];
        let listen = |line: &[&str]| settings(line, &environment, None).text("listen", "d:4");
        assert_eq!(listen(&["--set", "listen=a:1", "--listen", "b:2"]), "a:1");
        assert_eq!(listen(&["--listen", "b:2"]), "b:2");
        assert_eq!(listen(&[]), "c:3");
    }

    #[test]
    fn the_last_set_of_a_key_wins_and_a_value_may_hold_an_equals_sign() {
        let mut settings = settings(&["--set", "group=one", "--set", "group=a=b"], &[], None);
        assert_eq!(settings.text("group", ""), "a=b");
    }

    #[test]
    fn a_set_without_a_value_is_reported_with_the_rest_and_not_repeated() {
        let mut settings = settings(&["--set", "root:hunter2@db", "--set", "group=[]"], &[], None);
        settings.number("group", 1u16, 1..=9);
        let problems = settings.finish().unwrap_err().to_string();
        assert_eq!(problems, "--set: expected KEY=VALUE\n--set group: a list is not a whole number");
    }

    #[test]
    fn only_a_file_that_was_named_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.toml");
        assert!(settings(&[], &[], Some(absent.clone())).finish().is_ok());

        let name = absent.to_str().unwrap();
        let expected = format!("{name}: cannot read: No such file or directory (os error 2)");
        let by_option = settings(&["--config", name], &[], None);
        assert_eq!(by_option.finish().unwrap_err().to_string(), expected);
        let by_variable = settings(&[], &[("TNV_STORAGE_CONFIG", name)], None);
        assert_eq!(by_variable.finish().unwrap_err().to_string(), expected);
    }
}
