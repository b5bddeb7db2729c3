// What the page's scripts need of a browser, and no more. They run as they are; a job comes in as JSON, answers go out.
'use strict';
const fs = require('fs'), vm = require('vm');
const job = JSON.parse(fs.readFileSync(0, 'utf8'));

class Element {
  constructor(tag) { Object.assign(this, {tag, children: [], dataset: {}, heard: {}, isConnected: true, offsetParent: {}}); }
  append(...more) { this.children.push(...more); }
  replaceChildren(...now) { this.children = now; }
  addEventListener(kind, heard) { this.heard[kind] = heard; }
  click() { if (this.tag === 'a') downloads.push([this.download, this.href]); else this.heard.click(); }
  get classList() { return {toggle: (name, on) => { this.className = on ? name : ''; }}; }
  set textContent(text) { this.children = [text]; }
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(''); }
  /** Tag, class and what is inside, for tests. */
  get tree() { return [this.tag, this.className ?? '', this.children.map((child) => child.tree ?? child)]; }
}

const downloads = [], picked = [], timers = new Map(), listeners = {};
const labels = (job.labels ?? []).map((attributes) => ({
  getAttribute: (name) => attributes[name] ?? null,
  setAttribute: (name, text) => { attributes[name] = text; },
}));
let slider = null, address = null, ticks = 0;
class Watcher { observe() {} }
Object.assign(globalThis, {
  window: globalThis,
  document: {
    documentElement: {}, body: {},
    createElement: (tag) => new Element(tag),
    createTextNode: (text) => text,
    querySelector: (selector) => selector.startsWith('#ratio') ? slider : null,
    querySelectorAll: (selector) => {
      const [, name, start] = selector.match(/^\[([a-z-]+)\^="(.*)"\]$/);
      return labels.filter((label) => label.getAttribute(name)?.startsWith(start));
    },
    addEventListener: (kind, heard) => { (listeners[kind] ??= []).push(heard); },
  },
  location: {search: job.search, pathname: '/', assign: (url) => { address = url; }},
  history: {state: null, replaceState: (state, title, url) => { address = url; }},
  setTimeout: (call) => { timers.set(++ticks, call); return ticks; },
  clearTimeout: (timer) => timers.delete(timer),
  requestAnimationFrame: (call) => call(),
  IntersectionObserver: Watcher, ResizeObserver: Watcher, MutationObserver: Watcher,
  Blob: class { constructor(parts) { this.text = parts.join(''); } },
});
URL.createObjectURL = (blob) => blob.text;
URL.revokeObjectURL = () => {};
for (const file of job.scripts) vm.runInThisContext(fs.readFileSync(file, 'utf8'), {filename: file});

const NAMES = ['meaning', 'heatmap', 'budget', 'spectrum', 'forecast', 'forecast-note', 'uniform', 'heatmap-cell'];
const places = Object.fromEntries([...NAMES, 'cards'].map((name) => [name, new Element('p')]));
const settle = () => { for (const [timer, call] of [...timers]) { timers.delete(timer); call(); } };
const fire = (kind, event) => { for (const heard of listeners[kind]) heard(event); };

const does = {
  start: (value) => explorer.tablesOf(null, {value, start: job.start}, () => {}),
  read: (value) => explorer.read(value),
  set: (changes) => explorer.set(changes),
  slide: (value) => {
    slider = {value, closest: () => true};
    fire('input', {target: slider});
  },
  press: (key) => {
    const target = {matches: (selector) => selector.startsWith('#heatmap'), pick: (site) => picked.push(site)};
    fire('keydown', {key, target, preventDefault() {}});
  },
  follow: () => explorer.startAddress(),
  language: (language) => {
    const nav = new Element('nav'), link = {getAttribute: () => `./?lang=${language}`, dataset: {language}};
    explorer.languages(nav);
    nav.heard.click({target: {closest: () => link}, preventDefault() {}});
  },
};
function shown() {
  const figures = structuredClone(job.figures);
  for (const [id, figure] of Object.entries(figures)) explorer.fillers[id](figure);
  return {
    state: {...explorer.state},
    said: Object.fromEntries(NAMES.map((name) => [name, places[name].textContent])),
    code: NAMES.flatMap((name) => places[name].children.filter((part) => part.tag === 'code').map((part) => part.textContent)),
    cards: places.cards.children.map((card) => card.children.map((part) => part.textContent)),
    cards_hidden: !!places.cards.hidden,
    figures, address, picked: [...picked],
    tables: Object.fromEntries(Object.entries(explorer.tables).map(([name, make]) => [name, make()])),
  };
}
function rendered(value) {
  const box = new Element('div'), scroll = new Element('div'), button = new Element('button'), outer = new Element('div');
  box.querySelector = (selector) => selector === 'button' ? button : scroll;
  outer.querySelector = () => box;
  explorer.table(outer, {value}, () => {});
  settle();
  const before = downloads.length;
  if (!button.hidden) button.click();
  return {tree: scroll.children.map((child) => child.tree), hidden: button.hidden, files: downloads.slice(before)};
}

for (const [name, element] of Object.entries(places)) explorer.place(name, element);
const answers = [];
for (const [verb, value] of job.steps) {
  does[verb](value);
  settle();
  answers.push(shown());
}
const written = job.written.map(([kind, value]) => explorer.write(kind, value));
const changed = (job.changed ?? []).map(([table, wanted]) => explorer.changed(table, wanted));
process.stdout.write(JSON.stringify({changed, answers, rendered: job.tables.map(rendered), written, labels: job.labels}));
