// The page's texts: in the language that is chosen, else in that of the browser.

const TEXTS = {
	skip: ["跳到内容", "Skip to content"],
	title: ["文件服务节点", "File service node"],
	status: ["状态", "Status"],
	running: ["运行中", "Running"],
	stopped: ["已停止", "Stopped"],
	draining: ["正在停止", "Stopping"],
	start: ["启动服务", "Start service"],
	stop: ["停止服务", "Stop service"],
	away: ["无法连接到本节点", "This node does not answer"],
	packages: ["会议包", "Packages"],
	noPackages: ["还没有会议包。", "No packages yet."],
	meeting: ["会议", "Meeting"],
	state: ["状态", "State"],
	files: ["文件", "Files"],
	size: ["大小", "Size"],
	used: ["最近使用", "Last used"],
	active: ["进行中", "Active"],
	idle: ["非活动", "Not active"],
	reading: ["正在下载", "Being downloaded"],
	pulling: ["同步中", "Being synced"],
	failed: ["同步失败", "Sync failed"],
	mainServer: ["主控服务器", "Hub"],
	connected: ["已连接", "Connected"],
	disconnected: ["未连接", "Not connected"],
	refused: ["API 密钥被拒绝，请检查 apiKey", "The API key is refused: check apiKey"],
	address: ["节点地址", "Address told to clients"],
	lastHeartbeat: ["最近心跳", "Last heartbeat"],
	lastSync: ["最近同步", "Last sync"],
	syncStatus: ["同步状态", "Sync state"],
	"sync.未同步": ["未同步", "Not synced yet"],
	"sync.同步中": ["同步中", "Syncing"],
	"sync.同步成功": ["同步成功", "Synced"],
	"sync.同步失败": ["同步失败", "Sync failed"],
	"sync.同步出错": ["同步出错", "Sync failed"],
	storage: ["存储", "Storage"],
	disk: ["磁盘剩余", "Free on the disk"],
	downloads: ["正在下载", "Downloads now"],
	sent: ["已发送", "Sent"],
	load: ["处理器 / 内存", "Processor / memory"],
	health: ["健康度", "Health"],
	uptime: ["运行时间", "Up since"],
	software: ["版本", "Version"],
	never: ["无", "never"],
	config: ["配置", "Configuration"],
	save: ["保存", "Save"],
	reset: ["放弃更改", "Discard changes"],
	saved: ["配置已更新", "Configuration updated"],
	nextStart: ["重启后生效：", "Counts from the next start on: "],
	overridden: ["由环境变量或命令行决定", "Decided by the environment or an option"],
	mistakes: ["配置有误，未保存", "There are mistakes; nothing was saved"],
	log: ["日志", "Log"],
	noLog: ["未启用文件日志", "There is no log file"],
	general: ["基本", "General"],
	"group.storage": ["存储", "Storage"],
	"group.network": ["网络", "Network"],
	"group.logging": ["日志", "Logging"],
	"group.heartbeat": ["心跳", "Heartbeat"],
	"group.cleanup": ["清理", "Cleanup"],
	"group.limits": ["限制", "Limits"],
	"key.mainServerIp": ["主控服务器IP地址", "Address of the hub"],
	"key.mainServerPort": ["主控服务器端口", "Port of the hub"],
	"key.mainServerUrl": ["主控服务器URL（优先）", "URL of the hub (counts more)"],
	"key.apiKey": ["API 密钥", "API key"],
	"key.syncInterval": ["同步间隔(秒)", "Sync interval (s)"],
	"key.nodeId": ["节点唯一标识", "Id of the node"],
	"key.nodeHost": ["监听地址", "Address to listen on"],
	"key.nodePort": ["节点服务端口", "Port to listen on"],
	"key.publicIp": ["节点公网IP", "Public address"],
	"key.publicPort": ["节点公网端口", "Public port"],
	"key.usePublicAddress": ["使用公网地址注册节点", "Register with the public address"],
	"key.weight": ["权重", "Weight"],
	"key.region": ["区域", "Region"],
	"key.adminPassword": ["管理密码", "Admin password"],
	"key.hosts": ["本页面的主机名", "Host names of this page"],
	"key.storage.path": ["存储路径", "Folder"],
	"key.storage.maxSize": ["最大存储大小(字节)", "Largest size (bytes)"],
	"key.storage.cleanupThreshold": ["清理阈值", "Cleaning begins at"],
	"key.storage.lowWater": ["清理目标", "Cleaning ends at"],
	"key.storage.autoCleanup": ["自动清理", "Clean automatically"],
	"key.storage.verifyInterval": ["完整性检查间隔(秒)", "Packages are verified every (s)"],
	"key.storage.verifyRate": ["完整性检查速率(字节/秒)", "Verifying reads at most (bytes/s)"],
	"key.network.maxConcurrentDownloads": ["最大并发下载数", "Files fetched at once"],
	"key.network.downloadTimeout": ["下载超时时间(秒)", "Download timeout (s)"],
	"key.network.connectionTimeout": ["连接超时时间(秒)", "Connection timeout (s)"],
	"key.network.retryCount": ["重试次数", "Attempts"],
	"key.network.retryDelay": ["重试延迟(秒)", "Pause between attempts (s)"],
	"key.logging.level": ["日志级别", "Level"],
	"key.logging.fileEnabled": ["启用文件日志", "Log to a file"],
	"key.logging.filePath": ["日志文件路径", "File"],
	"key.logging.maxFileSize": ["最大日志文件大小(字节)", "Largest file (bytes)"],
	"key.logging.backupCount": ["备份文件数量", "Old files kept"],
	"key.heartbeat.interval": ["心跳间隔(秒)", "Interval (s)"],
	"key.heartbeat.timeout": ["心跳超时时间(秒)", "Timeout (s)"],
	"key.cleanup.enabled": ["启用自动清理", "Clean up"],
	"key.cleanup.cleanOnStartup": ["启动时清理", "At the start as well"],
	"key.cleanup.cleanEndedMeetings": ["清理已结束的会议", "Packages of ended meetings"],
	"key.limits.maxConnections": ["最大连接数", "Connections"],
	"key.limits.maxConnectionsPerClient": ["每个客户端最大连接数", "Connections of one client"],
	"key.limits.rateLimit": ["每个客户端限速(字节/秒)", "Rate of one client (bytes/s)"],
	"key.limits.headerTimeout": ["请求头超时(秒)", "A request's header must come within (s)"],
	"key.limits.progressTimeout": ["客户端停滞超时(秒)", "A client may stand still for (s)"],
	"key.limits.drainTimeout": ["停止时等待(秒)", "Wait when stopping (s)"],
};

const remembered = () => {
	try {
		return localStorage.getItem("tnv.node.language");
	} catch {
		return null;
	}
};

export let language = remembered() ?? (/^zh\b/i.test(navigator.language) ? "zh" : "en");

export const t = (key) => TEXTS[key]?.[language === "zh" ? 0 : 1] ?? key;

/** Whether a key of the configuration has a text. */
export const isKnown = (key) => `key.${key}` in TEXTS;

export function setLanguage(chosen) {
	language = chosen === "zh" ? "zh" : "en";
	document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
	for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
	try {
		localStorage.setItem("tnv.node.language", language);
	} catch {
		// Storage is blocked: it counts for this page.
	}
}
