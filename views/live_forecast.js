const sentence = element.querySelector('.sentence'), note = element.querySelector('.note');
const chart = () => document.querySelector('#forecast-chart .plot');
const slider = () => document.querySelector('#ratio input[type=range]');
let data = {reports: []}, chosen = 0, ratio = '0';
const report = () => data.reports[chosen];
// A row is found by the slider's value as text; nothing is computed from it.
const row = () => report() && report().rows && report().rows[ratio];
function number(value, options) {
  const parts = new Intl.NumberFormat(data.language, options).formatToParts(value);
  return parts.map((part) => part.type === 'group' ? data.group : part.value).join('');
}
function perplexity(value) {
  const digits = value < 1000 ? 1 : 0;
  return number(value, {minimumFractionDigits: digits, maximumFractionDigits: digits});
}
function say() {
  const now = report(), at = row();
  const fields = {removed: number(ratio, {style: 'percent', maximumFractionDigits: 1})};
  if (at) ['perplexity', 'low', 'high'].forEach((name, i) => { fields[name] = perplexity(at[i]); });
  const text = !now ? data.none : at || !now.rows ? now.sentence : now.beyond;
  sentence.textContent = text.replace(/\{(\w+)\}/g, (whole, name) => name in fields ? fields[name] : whole);
  sentence.classList.toggle('foretold', !!at);
  note.textContent = now ? now.note : '';
}
function marked(shapes) {
  return (shapes || []).map((shape) => {
    if (shape.name === 'slider') return {...shape, x0: Number(ratio), x1: Number(ratio)};
    if (shape.name !== 'reading') return shape;
    if (!row()) return {...shape, visible: false};
    return {...shape, visible: true, x1: Number(ratio), y0: row()[0], y1: row()[0]};
  });
}
function highlight(figure) {
  const rows = report() && report().rows || {};
  for (const trace of figure.data) {
    const meta = trace.meta || {};
    if (meta.band) {
      trace.x = Object.keys(rows).map(Number);
      trace.y = Object.values(rows).map((each) => each[meta.band === 'low' ? 1 : 2]);
      trace.visible = trace.x.length > 0;
      if (meta.band === 'high') trace.fillcolor = report().area;
    } else if (meta.report !== undefined) {
      if (trace.line) trace.line.width = data.widths[meta.report === chosen ? 1 : 0];
      trace.visible = !meta.far || meta.report === chosen;
    }
  }
  figure.layout.shapes = marked(figure.layout.shapes);
}
function follow() {
  if (!element.isConnected || !slider()) return;
  const value = String(Number(slider().value));
  if (value === ratio) return;
  ratio = value;
  say();
  const plot = chart();
  if (plot && plot.layout && plot.layout.shapes) Plotly.relayout(plot, {shapes: marked(plot.layout.shapes)});
}
function redraw() { if (chart()) chart().dispatchEvent(new Event('redraw')); }
function read() {
  data = JSON.parse(props.value);
  chosen = 0;
  ratio = String(Number(slider() ? slider().value : data.ratio));
  say();
  redraw();
}
document.addEventListener('figure', (event) => {
  if (element.isConnected && report() && event.target === chart()) highlight(event.detail);
});
document.addEventListener('forecast-chosen', (event) => {
  if (!element.isConnected || !data.reports[event.detail]) return;
  chosen = event.detail;
  say();
  redraw();
});
// The number beside the slider and its reset button move it, too, but only after their own events.
for (const kind of ['input', 'change', 'click']) {
  document.addEventListener(kind, (event) => {
    if (!event.target.closest || !event.target.closest('#ratio')) return;
    if (event.target === slider()) follow(); else setTimeout(follow, 0);
  });
}
watch('value', read);
read();
