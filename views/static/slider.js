// The Explore tab in the browser: every picture and sentence that the slider moves. It looks up, writes and draws;
// the tables come from `compression.slider`, and nothing is computed from them here.
(() => {
  const {state} = explorer;
  const handle = () => document.querySelector('#ratio input[type=range]');
  const setting = () => `${state.method}|${state.policy}`;
  const index = () => explorer.data.slider.indexOf(state.ratio);
  const table = () => (explorer.data.tables || {})[state.policy];
  const position = () => table() && table().positions[index()];

  /** The size of each site at the slider's position, as [removed, rank, atoms, nonzeros]; null where there is none. */
  function sizes() {
    if (!position()) return null;
    const count = explorer.data.sites.length;
    return Array.from(table().cells.subarray(index() * count, (index() + 1) * count), (at) => explorer.data.sizes[at]);
  }
  const named = () => ({
    method: explorer.data.methods[state.method] || state.method,
    policy: explorer.data.policies[state.policy] || state.policy,
    removed: Number(state.ratio),
  });
  const code = (text) => '`' + text + '`';

  // --- heatmap ---
  function cellFields(site, [removed, rank, atoms, nonzeros]) {
    const [block, projection] = explorer.data.places[site];
    return {
      block: String(explorer.data.blocks[block]), projection: explorer.data.projections[projection],
      shape: explorer.data.shapes[site], site: explorer.data.sites[site], removed, rank, atoms, nonzeros,
    };
  }
  function hover(site, size, pinned) {
    let text = explorer.sentence(size[1] === null ? 'heatmap.hover_dense' : 'heatmap.hover', cellFields(site, size));
    if (state.difference) text += '<br>' + explorer.sentence('heatmap.hover_uniform', {removed: Number(state.ratio)});
    return pinned ? text + '<br>' + explorer.sentence('heatmap.hover_pinned', {}) : text;
  }
  explorer.fillers.heatmap = (figure) => {
    const {sites, places, blocks, projections, pinned} = explorer.data;
    if (!sites) return;
    const now = sizes(), held = new Set(pinned);
    const [cells, chosen, pins] = figure.data;
    const grid = () => projections.map(() => blocks.map(() => null));
    Object.assign(cells, {z: grid(), text: grid(), customdata: grid()});
    places.forEach(([block, projection], site) => {
      cells.customdata[projection][block] = sites[site];
      if (!now) return;
      cells.z[projection][block] = now[site][0];
      cells.text[projection][block] = hover(site, now[site], held.has(site));
    });
    if (state.difference) {
      const axis = explorer.data.difference[index()], {diverging, difference} = figure.layout.meta;
      [cells.zmin, cells.zmax] = axis.range;
      cells.colorscale = diverging;
      const title = {...cells.colorbar.title, text: difference};
      Object.assign(cells.colorbar, {tickvals: axis.ticks, ticktext: axis.texts, title});
    }
    const put = (trace, at) => {
      trace.x = at.map((site) => blocks[places[site][0]]);
      trace.y = at.map((site) => projections[places[site][1]]);
      trace.customdata = at.map((site) => sites[site]);
    };
    put(chosen, sites.includes(state.site) ? [sites.indexOf(state.site)] : []);
    put(pins, pinned);
  };

  // --- spectrum: its figure brings the site's own table ---
  explorer.fillers.spectrum = (figure) => {
    const {site, full, break_even, effective, lost} = figure.layout.meta;
    const now = explorer.data.sites && sizes();
    const [removed, rank] = now && now[explorer.data.sites.indexOf(site)] || [null, null];
    for (const mark of [...figure.layout.shapes, ...figure.layout.annotations]) {
      if (mark.name !== 'rank') continue;
      mark.visible = rank !== null;
      if (rank === null) continue;
      if (mark.type === 'line') mark.x0 = mark.x1 = rank;
      else Object.assign(mark, {x: rank, text: explorer.sentence('spectrum.rank', {rank})});
    }
    const fields = {site: code(site), full, break_even, effective, rank, removed, lost: lost[rank]};
    explorer.say('spectrum', explorer.sentence(rank === null ? 'spectrum.summary_dense' : 'spectrum.summary', fields));
  };

  // --- budget ---
  explorer.fillers.budget = (figure) => {
    const labels = explorer.data.bar_labels, now = position();
    if (labels) figure.data.forEach((trace, i) => Object.assign(trace, {y: labels, x: now ? now.bars[i] : []}));
  };

  // --- forecast, and what was measured where there is none ---
  const report = () => (explorer.data.forecasts || {})[setting()];
  const row = () => report() && report().rows && report().rows[state.ratio];
  const band = (at) => at && {perplexity: at[0], low: at[1], high: at[2]};
  function measured(key = setting()) {
    const runs = (explorer.data.measured || {})[key];
    if (!runs) return null;
    const at = runs.nearest[index()];
    return {at: runs.removed[at], quality: runs.quality[at], dense_quality: explorer.data.dense_quality};
  }
  explorer.fillers['forecast-chart'] = (figure) => {
    const now = report(), at = row(), rows = now && now.rows || {};
    for (const trace of figure.data) {
      const meta = trace.meta || {};
      if (meta.band) {
        trace.x = Object.keys(rows).map(Number);
        trace.y = Object.values(rows).map((each) => each[meta.band === 'low' ? 1 : 2]);
        trace.visible = trace.x.length > 0;
        if (meta.band === 'high' && now) trace.fillcolor = now.area;
      } else if (meta.report) {
        if (trace.line) trace.line.width = figure.layout.meta.widths[meta.report === setting() ? 1 : 0];
        trace.visible = !meta.far || meta.report === setting();
      }
    }
    const place = Number(state.ratio);
    for (const shape of figure.layout.shapes || []) {
      if (shape.name === 'slider') shape.x0 = shape.x1 = place;
      if (shape.name !== 'reading') continue;
      shape.visible = !!at;
      if (at) Object.assign(shape, {x1: place, y0: at[0], y1: at[0]});
    }
  };
  function forecastSentence() {
    const now = report(), at = row(), point = measured(), {apart} = explorer.data;
    const fields = {...named(), ...band(at)};
    if (now) {
      const told = explorer.fill(at || !now.rows ? now.sentence : now.beyond, fields);
      return apart && point ? told + ' ' + explorer.sentence('measured.beside', {...fields, ...point}) : told;
    }
    if (point) return explorer.sentence('measured.sentence', {...fields, ...point});
    return explorer.data.measured && Object.keys(explorer.data.measured).length
      ? explorer.sentence('measured.none', fields) : explorer.data.no_forecast;
  }
  function uniformSentence() {
    if (!state.difference) return '';
    const here = measured(), there = measured(`${state.method}|uniform`);
    if (state.policy === 'uniform') return explorer.sentence('difference.same', {});
    if (!here || !there || here.at !== there.at) return explorer.sentence('difference.none', named());
    return explorer.sentence('difference.measured', {...named(), ...here, uniform: there.quality});
  }

  // --- cards and sentences ---
  const known = () => ({...explorer.data.constants, ...position()});
  /** What is measured stands beside its forecast only where the two are of different quantities. */
  function qualityCards() {
    const at = row(), point = measured(), {apart} = explorer.data, shown = [];
    if (at) shown.push(['predicted', {...named(), ...band(at), dense_perplexity: report().dense}]);
    if (point && (apart || !at)) shown.push(['measured', {...named(), ...point}]);
    return shown.length ? shown : [['none', named()]];
  }
  function cards() {
    const element = explorer.texts.cards;
    if (!element || !element.isConnected) return;
    const now = position() ? known() : {};
    const made = (explorer.data.cards || []).map((texts) => [texts, now]);
    if (made.length) for (const [kind, values] of qualityCards()) made.push([explorer.data.perplexity_cards[kind], values]);
    element.hidden = !made.length;
    element.replaceChildren(...made.map(([texts, fields]) => {
      const card = document.createElement('dl');
      card.className = 'card';
      texts.forEach((text, i) => {
        const part = document.createElement(i ? 'dd' : 'dt');
        part.className = ['', 'value', 'detail'][i];
        part.textContent = explorer.fill(text, fields);
        card.append(part);
      });
      return card;
    }));
  }
  function sentences() {
    explorer.say('forecast', forecastSentence());
    explorer.say('forecast-note', report() ? report().note : '');
    explorer.texts.forecast?.classList.toggle('foretold', !!row());
    const now = position(), of = table();
    if (!now) {
      const limits = of && {smallest: of.smallest, largest: of.largest, removed: Number(state.ratio)};
      const text = of ? explorer.sentence('explore.impossible', limits) : '';
      for (const name of ['meaning', 'heatmap', 'budget']) explorer.say(name, text);
      if (!of) explorer.say('spectrum', '');
      explorer.say('uniform', '');
      return;
    }
    const all = known(), site = code(explorer.data.sites[now.most_site]);
    explorer.say('meaning', explorer.sentence(`unit.${state.unit}_sentence`, all));
    const key = now.least === now.most ? 'heatmap.summary_even' : 'heatmap.summary';
    explorer.say('heatmap', explorer.sentence(key, {...all, ...named(), site}));
    explorer.say('budget', explorer.sentence('budget.summary', all));
    explorer.say('uniform', uniformSentence());
  }

  // --- tables ---
  explorer.tables.heatmap = () => {
    const now = explorer.data.sites && sizes();
    if (!now) return null;
    const rows = now.map((size, at) => {
      const {site, block, projection, shape, removed, rank, atoms, nonzeros} = cellFields(at, size);
      return [site, block, projection, shape, removed, rank, atoms, nonzeros];
    });
    return {name: 'removed-by-site', headers: explorer.data.headers.heatmap, shares: [4], rows};
  };
  explorer.tables.budget = () => {
    const now = position();
    if (!now) return null;
    const rows = explorer.data.bar_labels.map((label, i) => [label, now.bars[0][i], now.bars[1][i]]);
    return {name: 'budget', headers: explorer.data.headers.budget, rows};
  };

  // --- the order of drawing: the heatmap at once, the rest in the frames that follow ---
  explorer.onChange((keys) => {
    if (!keys.includes('text')) explorer.redraw('heatmap', true);
    sentences();
    cards();
    const moved = keys.some((key) => ['data', 'ratio', 'policy', 'method'].includes(key));
    if (moved) for (const id of ['budget', 'spectrum', 'forecast-chart']) explorer.redraw(id, false);
  });

  /** The component that carries the tables. */
  explorer.tablesOf = (element, props, watch) => {
    const read = () => { if (props.value) explorer.read(props.value); };
    explorer.set(props.start);
    watch('value', read);
    read();
  };
  function follow() { if (handle()) explorer.set({ratio: String(Number(handle().value))}); }
  // The number beside the slider and its reset button move it, too, but only after their own events.
  for (const kind of ['input', 'change', 'click']) {
    document.addEventListener(kind, (event) => {
      if (!event.target.closest || !event.target.closest('#ratio')) return;
      if (event.target === handle()) follow(); else setTimeout(follow, 0);
    });
  }

  // --- the heatmap by keyboard: arrows move, Enter opens ---
  const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  document.addEventListener('keydown', (event) => {
    const plot = event.target;
    if (!plot.matches || !plot.matches('#heatmap .plot') || !explorer.data.sites) return;
    if (!steps[event.key] && event.key !== 'Enter') return;
    event.preventDefault();
    if (event.key === 'Enter') { plot.pick(state.site); return; }
    const {sites, places, blocks, projections} = explorer.data;
    const [right, down] = steps[event.key];
    let [block, projection] = places[sites.indexOf(state.site)];
    for (;;) {
      block += right;
      projection += down;
      if (block < 0 || projection < 0 || block >= blocks.length || projection >= projections.length) return;
      const site = places.findIndex((place) => place[0] === block && place[1] === projection);
      if (site < 0) continue;
      explorer.set({site: sites[site]});
      if (sizes()) explorer.say('heatmap-cell', explorer.sentence('heatmap.cell', cellFields(site, sizes()[site])));
      return;
    }
  });
})();
