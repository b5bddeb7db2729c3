// What the page knows at the moment, who wants to hear of changes, and how numbers and sentences are written.
window.explorer = (() => {
  const state = {model: null, method: null, policy: null, ratio: null, site: null, unit: 'weights', difference: false};
  const listeners = [];
  const texts = {}, said = {};
  let data = null;

  /** Change the state; every listener hears which keys are new. Null and unchanged values are passed over. */
  function set(changes) {
    const fresh = Object.keys(changes).filter((key) => changes[key] != null && changes[key] !== state[key]);
    if (!fresh.length) return;
    for (const key of fresh) state[key] = changes[key];
    tell(fresh);
  }
  function tell(keys) { if (data) for (const listener of listeners) listener(keys); }
  function onChange(listener) { listeners.push(listener); }

  /** The tables of another model or of other pins. */
  function read(value) {
    data = JSON.parse(value);
    document.documentElement.lang = data.language;
    state.model = data.model;
    for (const table of Object.values(data.tables || {})) {
      const bytes = Uint8Array.from(atob(table.cells), (letter) => letter.charCodeAt(0));
      table.cells = new (data.wide ? Uint32Array : Uint16Array)(bytes.buffer);
    }
    relabel();
    if (data.sites && !data.sites.includes(state.site)) state.site = data.sites[0];
    tell(['data']);
  }

  /** What Gradio itself says in English only. */
  function relabel() {
    for (const [english, here] of data.builtin) {
      for (const name of ['aria-label', 'title']) {
        for (const node of document.querySelectorAll(`[${name}^="${english}"]`)) {
          node.setAttribute(name, here + node.getAttribute(name).slice(english.length));
        }
      }
    }
  }
  let relabelling = 0;
  new MutationObserver(() => {
    if (!data || !data.builtin.length || relabelling) return;
    relabelling = setTimeout(() => { relabelling = 0; relabel(); }, 300);
  }).observe(document.documentElement, {childList: true, subtree: true});

  const formats = new Map();
  /** Making a format takes longer than using it some hundred times. */
  function format(options) {
    const key = data.language + JSON.stringify(options);
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(data.language, options));
    return formats.get(key);
  }
  function formatted(value, options) {
    const parts = format(options).formatToParts(value);
    return parts.map((part) => part.type === 'group' || part.type === 'literal' ? data.group : part.value).join('');
  }
  const digits = (count) => ({minimumFractionDigits: count, maximumFractionDigits: count});
  const writers = {
    percent: (value) => formatted(value, {style: 'percent', maximumFractionDigits: 1}),
    percent2: (value) => formatted(value, {style: 'percent', maximumFractionDigits: 2}),
    number0: (value) => formatted(value, digits(0)),
    number1: (value) => formatted(value, digits(1)),
    number2: (value) => formatted(value, digits(2)),
    compact: (value) => formatted(value, {notation: 'compact', maximumSignificantDigits: 4}),
    mebibytes: (value) => formatted(value, digits(value < 100 ? 2 : 0)),
    perplexity: (value) => formatted(value, digits(Math.abs(value) < 1000 ? 1 : 0)),
    cell: (value) => Number.isInteger(value) ? formatted(value, digits(0))
      : Math.abs(value) >= 100 ? formatted(value, digits(Math.abs(value) < 1000 ? 1 : 0))
        : formatted(value, {maximumSignificantDigits: 4}),
  };
  /** A number as its kind is written; a missing one as a dash; a text as it is. */
  function write(kind, value) {
    if (value === null || value === undefined) return data.none;
    return typeof value === 'string' ? value : (writers[kind] || writers.number0)(value);
  }
  /** A text with its placeholders filled in; doubled braces are braces that stay. */
  function fill(text, fields) {
    const written = (name) => write(data.kinds[name], fields[name]);
    return text.replace(/\{\{|\}\}|\{(\w+)\}/g, (whole, name) => name === undefined ? whole[0] : written(name));
  }
  const sentence = (key, fields) => fill(data.sentences[key], fields);

  /** Where a text stands on the page; it is written when there is something to say. */
  function place(name, element) {
    texts[name] = element;
    if (name in said) say(name, said[name]);
    tell(['text']);
  }
  /** Write a text, or keep it for its place; what stands between backticks is code. */
  function say(name, text) {
    said[name] = text;
    const element = texts[name];
    if (!element || !element.isConnected || element.dataset.said === text) return;
    element.dataset.said = text;
    element.replaceChildren(...text.split('`').map((part, i) => {
      if (i % 2 === 0) return document.createTextNode(part);
      const code = document.createElement('code');
      code.textContent = part;
      return code;
    }));
  }
  /** Say the names of a walk's steps to those who hear them: on a phone Gradio shows bars without any. */
  function nameSteps(names) {
    document.querySelectorAll('#walk .step-button').forEach((button, i) => button.setAttribute('aria-label', names[i]));
  }
  /** Where somebody who moves by keyboard goes on. */
  function focus(id, tries = 40) {
    const heading = document.querySelector(`#${id} h2`);
    if (heading && heading.getClientRects().length) {
      heading.tabIndex = -1;
      heading.focus();
    } else if (tries) setTimeout(() => focus(id, tries - 1), 50);  // its step is not shown yet
  }
  return {state, set, onChange, focus, nameSteps, read, write, fill, sentence, place, say, texts, get data() { return data; }};
})();
