// 简体中文。

export const zh = {
	skip: "跳到内容", nav: "视图", library: "媒体库", cluster: "集群", search: "按名称搜索", upload: "上传",
	otherLanguage: "EN", "language.switch": "EN · Switch to English", "theme.": "外观：跟随系统", "theme.light": "外观：浅色", "theme.dark": "外观：深色",
	away: "无法连接网关，正在重试…", offline: "网络已断开，正在重试…", "footer.remembering": "已记住您 · 忘记我", "footer.remember": "在此记住我",
	remember: "记住设置", back: "网关已恢复", "writing.off": "只读", "writing.offLong": "此网关已关闭上传。",

	sort: "排序", "sort.newest": "最新", "sort.name": "名称", "list.count": "{n} 个文件", "list.more": "{n}+ 个文件",
	"search.none": "没有名称包含“{search}”的文件", "search.clear": "清除搜索",
	"empty.title": "这里还没有文件", "empty.text": "把影片、音乐或图片拖到页面任意位置，或点击选择。", "empty.choose": "选择文件", "empty.readOnly": "此网关为只读，文件由其他途径存入。",
	more: "更多", leftAt: "看到 {at}", drop: "松开即可上传", "drop.player": "放下 .srt 或 .vtt 作为字幕，其他文件将上传",

	"copy.url": "复制文件链接", "copy.time": "复制当前时刻的链接", "copy.wget": "复制 wget 命令", "copy.failed": "浏览器不允许复制", copied: "已复制到剪贴板",
	vlc: "用 VLC 打开", "vlc.saved": "播放列表已保存，请用 VLC 打开", download: "下载",

	delete: "删除", cancel: "取消", deleted: "已删除", "delete.title": "删除这个文件？", "delete.text": "删除后所有人都无法再访问，也无法恢复。",

	uploads: "上传", "upload.head": "上传 · 已完成 {done}/{all}",
	"upload.clear": "清除", "upload.cancel": "取消上传", "upload.waiting": "等待中", "upload.paused": "已暂停", "upload.retrying": "正在重试…",
	"upload.choose": "重新选择文件", "upload.twin": "媒体库中已有此文件", "upload.other": "这不是先前开始上传的 {name}（{size}）", "upload.done": "{name} 上传完成",
	"upload.added": "已添加 {n} 个文件到上传队列", "upload.tooMany": "只接受了前 {n} 个文件", left: "剩余 {span}",
	fold: "折叠或展开", pause: "暂停", resume: "继续", tryAgain: "重试", close: "关闭",
	"span.d": "{n} 天", "span.h": "{n} 小时", "span.min": "{n} 分", "span.s": "{n} 秒",

	play: "播放", previous: "上一个", next: "下一个", mute: "静音", unmute: "取消静音", volume: "音量", speed: "速度", subtitles: "字幕", "subtitles.off": "关闭",
	"subtitles.added": "临时字幕：{name}", "subtitles.keep": "上传到影片旁", "subtitles.bad": "{name} 不是可读的字幕文件", addSubtitles: "添加字幕", pip: "画中画",
	full: "全屏", window: "退出全屏", controls: "播放控制", seek: "进度", "seek.at": "{at}，共 {of}", around: "媒体库中", noMore: "这个方向没有其他文件了",
	resumed: "从 {at} 继续", pastEnd: "片长仅 {at}，早于链接所指的时刻。", fromStart: "从头播放", toLibrary: "返回媒体库",
	undecodable: "此浏览器无法播放这个文件。可以用 VLC 打开，或复制链接。", "undecodable.image": "此浏览器无法显示这张图片。",
	noPicture: "此浏览器只能播放声音，无法解码画面。VLC 可以完整播放。", noPreview: "这种文件没有预览。",

	"cluster.seen": "来自 {host}，版本 {version}", "cluster.none": "还没有存储服务器加入。", "cluster.active": "活动的存储", "cluster.free": "可用空间",
	"cluster.out": "发送", "cluster.in": "接收", of: "共 {n}", connections: "连接", downloads: "下载",
	deletes: "删除", "cluster.up": "已运行 {span}", "cluster.beat": "{span}前有消息", "cluster.noReport": "没有负载信息。",
	"cluster.space": "可用 {free}，共 {total}", "cluster.group": "{n} 台存储，{active} 台活动", "cluster.stale": "这些数据已过时。",
	"chart.of": "{what}：当前 {now}，近一分钟最高 {most}", "status.ACTIVE": "活动", "status.ONLINE": "加入中", "status.OFFLINE": "离线",

	"consent.question": "要让网关记住您的播放位置、语言和外观吗？", "consent.yes": "记住", "consent.no": "不用了",

	keys: "快捷键", "keys.play": "播放或暂停", "keys.seek5": "后退、前进 5 秒", "keys.seek10": "后退、前进 10 秒",
	"keys.speed": "减速、加速", "keys.percent": "跳到 0 % … 90 %", "keys.neighbours": "上一个、下一个文件",


	"error.0": "无法连接网关。", "error.403": "网关不允许此操作。", "error.404": "这个文件已不存在。", "error.409": "网关中已有的部分与预期不符。", "error.413": "文件超过网关允许的大小。", "error.421": "请将此名称加入网关的 hosts。", "error.423": "这个文件正在别处上传。", "error.500": "网关出错。",
	"error.503": "集群暂时无法应答。", "error.507": "没有足够的空间存放这个文件。", "error.other": "网关拒绝了请求（{status}）。",
	"error.unreadable": "文件在磁盘上被移动或修改，请重新选择。",
};
