// A small chart that moves: the last minute of a rate, newest at the right edge.

export const WINDOW = 60;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Draws a rate as a filled line.
 * @param {HTMLCanvasElement} canvas its `color` is the line's
 * @param {{at: number, rate: number}[]} samples oldest first; `at` in seconds
 * @param {number} now the right edge, in the same seconds
 * @param {number} most the rate at the upper edge
 */
export function drawChart(canvas, samples, now, most) {
	const { clientWidth: width, clientHeight: height } = canvas;
	if (!width || !height) return;
	const scale = devicePixelRatio || 1;
	if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
		canvas.width = Math.round(width * scale);
		canvas.height = Math.round(height * scale);
	}
	const pen = canvas.getContext("2d");
	pen.setTransform(scale, 0, 0, scale, 0, 0);
	pen.clearRect(0, 0, width, height);
	const { color } = getComputedStyle(canvas);
	const floor = height - 1;
	const x = (at) => width - ((now - at) / WINDOW) * width;
	const y = (rate) => floor - (rate / most) * (height - 5);
	pen.strokeStyle = color;
	pen.globalAlpha = 0.25;
	line(pen, [[0, floor], [width, floor]]);
	if (samples.length < 2) return;
	const points = samples.map(({ at, rate }) => [x(at), y(rate)]);
	points.push([width, points.at(-1)[1]]);
	pen.globalAlpha = 0.16;
	pen.fillStyle = color;
	path(pen, points);
	pen.lineTo(width, floor);
	pen.lineTo(points[0][0], floor);
	pen.fill();
	pen.globalAlpha = 1;
	pen.lineWidth = 1.6;
	pen.lineJoin = "round";
	path(pen, points);
	pen.stroke();
}

/** A curve through the middles: no edges, and it never overshoots. */
function path(pen, points) {
	pen.beginPath();
	pen.moveTo(...points[0]);
	for (let at = 1; at < points.length - 1; at += 1) {
		const [x, y] = points[at];
		const [nextX, nextY] = points[at + 1];
		pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
	}
	pen.lineTo(...points.at(-1));
}

function line(pen, points) {
	pen.lineWidth = 1;
	pen.beginPath();
	points.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
	pen.stroke();
}

/** Calls `draw` for every frame, or once a second for those who want things to hold still; returns how to stop. */
export function animate(draw) {
	let frame;
	let timer;
	const step = () => {
		draw();
		if (calm.matches) timer = setTimeout(step, 1000);
		else frame = requestAnimationFrame(step);
	};
	step();
	return () => {
		cancelAnimationFrame(frame);
		clearTimeout(timer);
	};
}
