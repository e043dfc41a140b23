// Runs before the first paint, so that a chosen theme does not flash. Everything else waits for the modules.
(() => {
	try {
		const theme = localStorage.getItem("tnv.theme");
		if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
	} catch {
		// Storage is blocked: the system's theme it is.
	}
})();
