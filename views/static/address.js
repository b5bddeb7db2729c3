// The address of the page holds what is looked at, so that a link shows the same to somebody else.
(() => {
  const KEYS = ['model', 'method', 'policy', 'ratio', 'site'];
  let started = false, timer = 0;
  function query(language) {
    const known = new URLSearchParams(location.search);
    for (const key of KEYS) if (explorer.state[key] != null) known.set(key, explorer.state[key]);
    known.delete('pins');
    if (explorer.data.pin_text) known.set('pins', explorer.data.pin_text);
    known.set('lang', language);
    return '?' + known.toString().replaceAll('%2C', ',').replaceAll('%2F', '/').replaceAll('%40', '@');
  }
  function write() {
    if (!started || !explorer.data) return;
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(history.state, '', location.pathname + query(explorer.data.language)), 200);
  }
  explorer.onChange(write);
  /** From now on the address follows the page; before, the page is still reading it. */
  explorer.startAddress = () => { started = true; write(); };
  /** Links to the same view in another language. */
  explorer.languages = (element) => {
    element.addEventListener('click', (event) => {
      const link = event.target.closest('a[data-language]');
      if (!link || !explorer.data) return;
      event.preventDefault();
      location.assign(link.getAttribute('href').split('?')[0] + query(link.dataset.language));
    });
  };
})();
