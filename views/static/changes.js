// The table of what compression changed: sorted, filtered and searched in the page, a part of its rows shown at a time.
(() => {
  const PLACE = 0, LEFT = 1, TEXT = 2, RIGHT = 3, SAYS = 4, LOSSES = 6, RISE = 8, FLIPPED = 9;
  const visible = (text) => text.replace(/^ /, '␣').replaceAll('\n', '↵');

  /** The whole word that a token is in: a long word is several tokens, and each of them is found by it. */
  function wordOf(row) {
    const text = row[TEXT];
    const before = /^\s/.test(text) ? '' : row[LEFT].split(/\s/).pop();
    const behind = /\s$/.test(text) ? '' : row[RIGHT].split(/\s/)[0];
    return before + text + behind;
  }
  /**
   * Indices of the rows that fit, in their order.
   * `wanted` is {sort: rise|place|flipped, filter: all|flipped|rise, least, search}.
   */
  explorer.changed = (table, wanted) => {
    const search = wanted.search.trim().toLowerCase();
    const {rows} = table;
    const fits = (row) => (wanted.filter !== 'flipped' || row[FLIPPED])
      && (wanted.filter !== 'rise' || row[RISE] > wanted.least)
      && (!search || [wordOf(row), row[SAYS], row[SAYS + 1]].some((text) => text.toLowerCase().includes(search)));
    const order = wanted.sort === 'place' ? rows.map((_, i) => i) : table.order;
    const found = order.filter((i) => fits(rows[i]));
    if (wanted.sort !== 'flipped') return found;
    return [...found.filter((i) => rows[i][FLIPPED]), ...found.filter((i) => !rows[i][FLIPPED])];
  };

  explorer.changes = (element, props, watch) => {
    const box = element.querySelector('.changed-table');
    const part = (name) => box.querySelector(`.${name}`);
    const [sort, filter, least, search, count, scroll, more, all] =
      ['sort', 'filter', 'least', 'search', 'count', 'scroll', 'more', 'all'].map(part);
    let table = null, limit = props.size;

    const cell = (kind, ...children) => explorer.node('td', {className: kind}, ...children);
    const written = (kind, value) => explorer.write(kind, value === '' ? null : value);
    function line(row) {
      const context = explorer.node('bdi', {}, row[LEFT].trimStart(), explorer.node('b', {textContent: row[TEXT] || '…'}), row[RIGHT]);
      return explorer.node('tr', {},
        cell('num', written('number0', row[PLACE])), cell('around', context),
        ...row.slice(SAYS, LOSSES).map((text) => cell('', written('', visible(text)))),
        ...row.slice(LOSSES, FLIPPED).map((value) => cell('num', written('number2', value))),
        cell('', row[FLIPPED] ? props.yes : props.no));
    }
    function head() {
      const names = [table.headers[PLACE], table.context, ...table.headers.slice(SAYS)];
      const numbers = [true, false, false, false, true, true, true, false];
      return explorer.node('tr', {}, ...names.map((text, i) =>
        explorer.node('th', {scope: 'col', className: numbers[i] ? 'num' : '', textContent: text})));
    }
    function draw() {
      box.hidden = !table;
      if (!table) { scroll.replaceChildren(); return; }
      least.closest('label').hidden = filter.value !== 'rise';
      const wanted = {sort: sort.value, filter: filter.value, least: Number(least.value), search: search.value};
      const found = explorer.changed(table, wanted);
      const shown = found.slice(0, limit);
      const counts = {shown: shown.length, found: found.length, all: table.rows.length};
      count.textContent = found.length ? explorer.fill(props.counted, counts) : props.nothing;
      more.hidden = shown.length === found.length;
      scroll.hidden = !found.length;
      scroll.replaceChildren(explorer.node('table', {},
        explorer.node('thead', {}, head()), explorer.node('tbody', {}, ...shown.map((i) => line(table.rows[i])))));
    }
    function again() { limit = props.size; scroll.scrollTop = 0; draw(); }
    function read() { table = props.value ? JSON.parse(props.value) : null; again(); }
    for (const control of [sort, filter]) control.addEventListener('change', again);
    for (const control of [least, search]) control.addEventListener('input', again);
    more.addEventListener('click', () => { limit += props.size; draw(); });
    all.addEventListener('click', () => explorer.download({
      ...table, rows: table.rows.map((row) => [...row.slice(0, FLIPPED), row[FLIPPED] ? props.yes : props.no]),
    }));
    watch('value', read);
    read();
  };
})();
