// A table for people and for CSV: made when it comes into sight, with a button that downloads it.
(() => {
  /** Tables that follow the slider: name → what gives {name, headers, rows, shares, wide} at the moment. */
  explorer.tables = {};

  const node = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const isNumber = (value) => typeof value === 'number';

  function render(table) {
    const shares = table.shares || [];
    const numeric = table.headers.map((_, i) =>
      table.rows.some((row) => isNumber(row[i])) && !table.rows.some((row) => typeof row[i] === 'string'));
    const kind = (i) => i === table.wide ? 'remark' : numeric[i] ? 'num' : '';
    const head = table.headers.map((text, i) =>
      node('th', {scope: 'col', className: numeric[i] ? 'num' : '', textContent: text}));
    const body = table.rows.map((row) => node('tr', {}, ...row.map((value, i) =>
      node('td', {className: kind(i), textContent: explorer.write(shares.includes(i) ? 'percent2' : 'cell', value)}))));
    return node('table', {}, node('thead', {}, node('tr', {}, ...head)), node('tbody', {}, ...body));
  }
  function csv(table) {
    const quoted = (value) => {
      // What a spreadsheet would take for a formula stays text.
      const formula = typeof value === 'string' && /^[=+\-@\t\r]/.test(value);
      const text = value === null ? '' : (formula ? "'" : '') + value;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [table.headers, ...table.rows].map((row) => row.map(quoted).join(',') + '\n').join('');
  }
  /** Give the visitor a CSV as a file. */
  explorer.save = (name, text) => {
    const link = node('a', {
      href: URL.createObjectURL(new Blob([text], {type: 'text/csv;charset=utf-8'})), download: name,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  /** Give the visitor a table as a CSV file. */
  explorer.download = (table) => explorer.save(`${table.name}.csv`, csv(table));
  explorer.node = node;
  explorer.table = (element, props, watch) => {
    const box = element.querySelector('.data-table');
    const scroll = box.querySelector('.scroll'), button = box.querySelector('button');
    let shown = null, timer = 0;
    const now = () => props.live ? explorer.tables[props.live]() : props.value ? JSON.parse(props.value) : null;
    function draw() {
      if (!explorer.data || element.offsetParent === null) return;
      const table = now(), text = JSON.stringify(table);
      if (shown === text) return;
      shown = text;
      button.hidden = scroll.hidden = !table;
      scroll.replaceChildren(...(table ? [render(table)] : []));
    }
    button.addEventListener('click', () => explorer.download(now()));
    explorer.onChange(() => { clearTimeout(timer); timer = setTimeout(draw, 120); });
    new ResizeObserver(draw).observe(element);
    watch('value', draw);
    draw();
  };
})();
