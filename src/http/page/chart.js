// A small chart that moves: the last minute of a rate, newest at the right edge.

export const WINDOW = 60;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Draws samples of a rate, oldest first, as a filled line in the canvas's `color`. The right edge is `now`, in the same
 * seconds as their `at`; the upper edge is the rate `most`.
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
	pen.strokeStyle = pen.fillStyle = color;
	pen.globalAlpha = 0.25;
	pen.fillRect(0, floor - 0.5, width, 1);
	if (samples.length < 2) return;
	const points = samples.map(({ at, rate }) => [x(at), y(rate)]);
	points.push([width, points.at(-1)[1]]);
	pen.globalAlpha = 0.16;
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
