// Elements of the page. Text is inserted as text nodes only: nothing of an answer or a file name is executed.

export const byId = id => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export const LABEL_FONT = "12px system-ui, sans-serif";

/** A canvas at the resolution of the screen: its context, in CSS pixels, and its size. */
export function prepareCanvas(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return { context, width, height };
}

/** The value of a colour variable of the style sheet, which differs in dark mode. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Draw now, and again where the size of the canvas or the colours of the page change. */
export function keepDrawn(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/** A bar of a share of its cell, for the eye: the number stands beside it. */
export function bar(share, { negative = false } = {}) {
  const inner = element("div", { className: negative ? "negative" : "" });
  inner.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const cell = element("td", { className: "track" }, inner);
  cell.setAttribute("aria-hidden", "true");
  return cell;
}

/** Rows of [name, share of the bar, text]. */
export function barTable(caption, rows) {
  const body = rows.map(([name, share, text, negative]) =>
    element("tr", {}, element("th", { scope: "row", textContent: name }),
      bar(share, { negative }), element("td", { className: "number", textContent: text })));
  return element("table", {}, element("caption", { textContent: caption }),
    element("tbody", {}, ...body));
}

/** Seconds as 1:02.5, the way that `window=` reads them too. */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const minutes = Math.floor(tenths / 600), rest = (tenths - minutes * 600) / 10;
  const text = Number.isInteger(rest) ? String(rest) : rest.toFixed(1);
  return `${minutes}:${rest < 10 ? "0" : ""}${text}`;
}

export async function copyText(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {  // not allowed, or no secure context
    button.textContent = "Not allowed by the browser: select the text and copy it";
  }
  setTimeout(() => { button.textContent = label; }, 2500);
}
