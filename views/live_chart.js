const plot = element.querySelector('.plot');
const loading = element.querySelector('.loading');
const isDark = () => !!document.querySelector('body.dark, html.dark, gradio-app.dark, .gradio-container.dark');
let dirty = true, wired = false, drawing = false;
const config = {displayModeBar: false, displaylogo: false, responsive: false, doubleClick: 'reset', scrollZoom: false};
async function draw() {
  if (!props.value) {
    if (wired) { Plotly.purge(plot); wired = false; plot.removeAttribute('data-drawn'); }
    if (loading) { loading.textContent = props.empty; loading.hidden = false; loading.style.display = ''; }
    return;
  }
  if (plot.clientWidth < 40) { dirty = true; return; }
  if (drawing) { dirty = true; return; }
  drawing = true; dirty = false;
  try {
    const figure = JSON.parse(props.value);
    const layout = figure.layout || {};
    layout.template = props.templates[isDark() ? 'dark' : 'light'];
    layout.width = plot.clientWidth;
    layout.uirevision = layout.uirevision || 'kept';
    // Whoever listens may change the figure before it is drawn, and ask for another drawing with 'redraw'.
    plot.dispatchEvent(new CustomEvent('figure', {bubbles: true, detail: figure}));
    await Plotly.react(plot, figure.data, layout, config);
    plot.style.minHeight = plot.parentNode.style.minHeight = layout.height + 'px';
    if (loading) loading.hidden = true, loading.style.display = 'none';
    if (layout.meta && layout.meta.label) { plot.setAttribute('role', 'img'); plot.setAttribute('aria-label', layout.meta.label); }
    plot.setAttribute('data-drawn', String(Number(plot.getAttribute('data-drawn') || 0) + 1));
    if (!wired) {
      wired = true;
      plot.on('plotly_click', (event) => {
        const point = event.points[0];
        let picked = point.customdata;
        if (Array.isArray(picked)) picked = picked[0];
        trigger('click', {x: point.x, y: point.y, picked: picked === undefined ? null : picked});
      });
    }
  } finally { drawing = false; }
  if (dirty) draw();
}
let width = 0;
new ResizeObserver(() => {
  if (Math.abs(plot.clientWidth - width) < 1 && !dirty) return;
  width = plot.clientWidth;
  requestAnimationFrame(draw);
}).observe(plot);
const themes = new MutationObserver(draw);
for (const node of [document.body, document.documentElement]) themes.observe(node, {attributes: true, attributeFilter: ['class']});
plot.addEventListener('redraw', draw);
watch('value', draw);
draw();
