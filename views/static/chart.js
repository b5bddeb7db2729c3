// A Plotly figure that lives in the page: drawn from its JSON, redrawn in place, in the theme of the page.
(() => {
  const config = {displayModeBar: false, displaylogo: false, responsive: false, doubleClick: 'reset', scrollZoom: false};
  const isDark = () => !!document.querySelector('body.dark, html.dark, gradio-app.dark, .gradio-container.dark');
  /**
   * Where a page has a <base>, Plotly writes the page's address into every reference to a clip path or a pattern, and
   * all of them break when the address changes. Without one it refers to the document itself.
   */
  function withoutBase(draw) {
    const base = document.querySelector('base[href]'), href = base && base.getAttribute('href');
    if (base) base.removeAttribute('href');
    try { return draw(); } finally { if (base) base.setAttribute('href', href); }
  }
  const inSight = (node) => {
    const box = node.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.top < window.innerHeight;
  };
  const waiting = new Set();
  const CALM = 150;
  let calm = 0;
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && waiting.has(entry.target)) entry.target.redraw();
  });
  /** Charts out of sight are drawn one after the other when nothing has moved for a moment. */
  function catchUp() {
    const [plot] = waiting;
    if (!plot) return;
    waiting.delete(plot);
    if (plot.isConnected) plot.redraw();
    calm = setTimeout(catchUp, 0);
  }

  /** What is put into a figure before it is drawn: `filler(figure)`, by the chart's id. */
  explorer.fillers = {};
  /** Draw a chart again: at once, or in the next frame; if it is out of sight, later. */
  explorer.redraw = (id, urgent) => {
    const plot = document.querySelector(`#${id} .plot`);
    if (!plot || !plot.redraw) return;
    if (urgent) plot.redraw();
    else if (inSight(plot)) requestAnimationFrame(() => plot.redraw());
    else {
      waiting.add(plot);
      clearTimeout(calm);
      calm = setTimeout(catchUp, CALM);
    }
  };

  explorer.chart = (element, props, trigger, watch) => {
    const plot = element.querySelector('.plot');
    const loading = element.querySelector('.loading');
    const id = props.name;
    let dirty = true, wired = false, drawing = false, width = 0;

    function empty() {
      if (wired) { Plotly.purge(plot); wired = false; plot.removeAttribute('data-drawn'); }
      loading.textContent = props.empty;
      loading.classList.remove('busy');
      loading.hidden = false;
    }
    async function draw() {
      waiting.delete(plot);
      if (!props.value) { empty(); return; }
      if (plot.clientWidth < 40 || drawing || !window.Plotly) { dirty = true; return; }
      drawing = true; dirty = false;
      try {
        const figure = JSON.parse(props.value);
        const layout = figure.layout || {};
        if (explorer.data && explorer.fillers[id]) explorer.fillers[id](figure);
        layout.template = props.templates[isDark() ? 'dark' : 'light'];
        layout.width = plot.clientWidth;
        layout.separators = props.separators;
        layout.uirevision = layout.uirevision || 'kept';
        await withoutBase(() => Plotly.react(plot, figure.data, layout, config));
        plot.style.minHeight = plot.parentNode.style.minHeight = layout.height + 'px';
        loading.hidden = true;
        if (plot.tabIndex < 0) plot.setAttribute('role', 'img');
        if (layout.meta && layout.meta.label) plot.setAttribute('aria-label', layout.meta.label);
        plot.setAttribute('data-drawn', String(Number(plot.getAttribute('data-drawn') || 0) + 1));
        if (!wired) {
          wired = true;
          plot.on('plotly_click', (event) => {
            const {customdata} = event.points[0];
            const picked = Array.isArray(customdata) ? customdata[0] : customdata;
            if (picked) plot.pick(picked);
          });
        }
      } finally { drawing = false; }
      if (dirty) draw();
    }
    plot.redraw = draw;
    plot.pick = (picked) => trigger('click', {picked});
    new ResizeObserver(() => {
      if (Math.abs(plot.clientWidth - width) < 1 && !dirty) return;
      width = plot.clientWidth;
      requestAnimationFrame(draw);
    }).observe(plot);
    const themes = new MutationObserver(draw);
    for (const node of [document.body, document.documentElement]) {
      themes.observe(node, {attributes: true, attributeFilter: ['class']});
    }
    sight.observe(plot);
    watch('value', draw);
    draw();
  };
})();
