// What long forms do besides: lists to search in, codecs in order, a question before typed text is lost.
(() => {
  'use strict';
  const common = { refreshThrottle: 0, maxOptions: 500, hideSelected: false };

  function enhance(root) {
    if (!window.TomSelect) return;
    for (const select of root.querySelectorAll('select[data-pick]')) if (!select.tomselect) new TomSelect(select, { ...common });
    for (const input of root.querySelectorAll('input[data-codecs]')) {
      if (input.tomselect) continue;
      const known = ['PCMA', 'PCMU', 'G729', 'G722', 'opus', 'GSM', 'iLBC', 'G726-32'];
      input.value = input.value.split(',').map((part) => part.trim()).join(',');
      new TomSelect(input, {
        ...common,
        hideSelected: true,
        create: true,
        createOnBlur: true,
        delimiter: ',',
        plugins: ['remove_button', 'drag_drop'].filter((name) => TomSelect.plugins?.names?.[name] || name === 'remove_button'),
        options: known.map((name) => ({ value: name, text: name })),
      });
    }
  }

  // Rows that are ticked are changed together: all of a page by one tick, and how many there are is said.
  document.addEventListener('change', (event) => {
    const name = event.target.dataset?.tickAll || event.target.name;
    const said = name && document.querySelector(`[data-ticked="${CSS.escape(name)}"]`);
    if (!said) return;
    const boxes = [...document.querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]`)];
    if (event.target.dataset.tickAll) for (const box of boxes) box.checked = event.target.checked;
    const count = boxes.filter((box) => box.checked).length;
    said.textContent = count ? `${count} ticked` : '';
  });

  for (const form of document.querySelectorAll('form[data-unsaved]')) {
    let changed = Boolean(document.querySelector('#summary'));
    form.addEventListener('input', () => (changed = true));
    form.addEventListener('change', () => (changed = true));
    form.addEventListener('submit', (event) => {
      changed = false;
      // Three quick clicks are one order.
      setTimeout(() => event.submitter?.setAttribute('disabled', ''), 0);
    });
    addEventListener('beforeunload', (event) => {
      if (changed) event.preventDefault();
    });
  }
  enhance(document);
})();
