// What the panel's pages do besides following links: toasts, confirmation, live lists, keys. No page depends on it.
(() => {
  'use strict';
  const $ = (selector, root = document) => root.querySelector(selector);

  // Messages

  function toast(text, isFault = false) {
    const box = document.createElement('div');
    box.className = 'sw-toast';
    box.append(text);
    const close = document.createElement('button');
    close.type = 'button';
    close.setAttribute('aria-label', 'Close message');
    close.textContent = '×';
    close.addEventListener('click', () => box.remove());
    box.append(close);
    const stack = $(isFault ? '#faults' : '#toasts');
    while (stack.childElementCount >= 4) stack.firstElementChild.remove();
    stack.append(box);
    if (!isFault) setTimeout(() => box.remove(), 6000); // failures stay until they are read
  }

  document.addEventListener('toast', (event) => toast(event.detail.text));
  document.addEventListener('htmx:response:error', (event) => {
    const { response, text, hx } = event.detail.ctx;
    if (response.status === 422 || hx?.redirect) return;
    toast(text && text.length < 300 && !text.startsWith('<') ? text : `The panel answered ${response.status}.`, true);
  });
  document.addEventListener('htmx:error', () => toast('The panel does not answer. Check your connection.', true));

  // Requests of htmx

  document.addEventListener('htmx:config:request', (event) => {
    const { request } = event.detail.ctx;
    if (request.method === 'GET') {
      for (const [name, value] of [...request.body]) if (value === '') request.body.delete(name);
    } else {
      request.headers['X-CSRF-Token'] = $('meta[name="csrf-token"]').content;
    }
  });

  // Confirmation by our own dialog

  document.addEventListener('htmx:confirm', (event) => {
    event.preventDefault();
    const { ctx, issueRequest, dropRequest } = event.detail;
    const dialog = $('#confirm');
    const { confirmTitle, confirmVerb } = ctx.sourceElement.dataset;
    $('#confirm-title').textContent = confirmTitle || 'Are you sure?';
    $('#confirm-text').textContent = ctx.confirm;
    $('#confirm-yes').textContent = confirmVerb || 'Go on';
    dialog.returnValue = '';
    dialog.addEventListener('close', () => (dialog.returnValue === 'yes' ? issueRequest() : dropRequest()), { once: true });
    dialog.showModal();
  });

  // The same for plain forms: the button that sends is pressed again once the answer is yes.
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-ask]');
    if (!button || button.dataset.answered) return;
    event.preventDefault();
    const dialog = $('#confirm');
    $('#confirm-title').textContent = button.dataset.askTitle || 'Are you sure?';
    $('#confirm-text').textContent = button.dataset.ask;
    $('#confirm-yes').textContent = button.dataset.askVerb || 'Go on';
    dialog.returnValue = '';
    dialog.addEventListener('close', () => {
      if (dialog.returnValue !== 'yes') return;
      button.dataset.answered = 'yes';
      button.click();
    }, { once: true });
    dialog.showModal();
  });

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-copy]');
    if (!button) return;
    await navigator.clipboard?.writeText($(button.dataset.copy).textContent).then(() => toast('Copied'), () => toast('Select the text and copy it by hand.', true));
  });

  // Rows that are selected: how many, and the bar that acts on them.

  function showChosen() {
    const bar = $('[data-chosen]');
    if (!bar) return;
    const all = [...document.querySelectorAll('[data-choose]')];
    const count = all.filter((box) => box.checked).length;
    bar.hidden = count === 0;
    $('[data-chosen-count]').textContent = `${count} selected`;
    const head = $('[data-choose-all]');
    if (!head) return;
    head.checked = count > 0 && count === all.length;
    head.indeterminate = count > 0 && count < all.length;
  }

  document.addEventListener('change', (event) => {
    if (event.target.matches('[data-choose-all]')) {
      for (const box of document.querySelectorAll('[data-choose]')) box.checked = event.target.checked;
    }
    if (event.target.matches('[data-choose-all], [data-choose]')) showChosen();
  });
  $('[data-chosen]')?.addEventListener('submit', (event) => {
    $('[data-here]').value = location.pathname + location.search;
    delete event.submitter?.dataset.answered; // a file leaves the page as it is
  });
  document.addEventListener('htmx:after:swap', showChosen);
  addEventListener('pageshow', showChosen); // the way back brings the boxes as they were
  showChosen();

  // Live pages

  const states = { live: ['ok', 'Live'], held: ['warn', 'Held while you point at the list'], away: ['bad', 'Reconnecting'] };

  function showState(name) {
    const badge = $('[data-live-state]');
    if (!badge) return;
    badge.className = `sw-badge sw-badge-${states[name][0]}`;
    badge.lastElementChild.textContent = states[name][1];
  }

  // Rows must not move under a hand that is about to hang up a call.
  function isHeld() {
    const list = $('[data-hold]');
    if (!list || !$('tbody', list)) return false;
    const pointed = matchMedia('(hover: hover)').matches && $('tbody:hover', list);
    return Boolean(pointed || $('#confirm')?.open || (list.contains(document.activeElement) && $('tbody :focus', list)));
  }

  document.addEventListener('htmx:sse:before:message', (event) => {
    if (!event.detail.message.data) return;
    if (isHeld()) {
      event.preventDefault();
      event.target.dataset.missed = 'yes';
      showState('held');
    } else showState('live');
  });
  document.addEventListener('htmx:sse:after:connection', (event) => {
    if (event.detail.connection.status === 200) showState('live');
  });
  document.addEventListener('htmx:sse:error', (event) => {
    // The session ended: load the page, which leads to the sign-in and back.
    if (event.detail.status === 401) location.reload();
    else showState('away');
  });
  document.addEventListener('gone', () => location.reload());
  document.addEventListener('htmx:sse:close', (event) => {
    if (event.detail.reason === 'ended') showState('away');
  });

  // A message held back is not sent again when nothing changes: fetch the list once the hand is away.
  setInterval(() => {
    const live = $('[data-live][data-missed]');
    if (!live || isHeld() || document.hidden) return;
    delete live.dataset.missed;
    showState('live');
    htmx.ajax('GET', location.pathname, { target: '[data-hold]', swap: 'innerMorph', source: live.parentElement });
  }, 500);

  // Durations tick here; the server's clock counts, not this one's.
  let clockOffset = 0;
  let clockSource = '';

  function readClock() {
    const now = $('[data-now]')?.dataset.now;
    if (!now || now === clockSource) return;
    clockSource = now;
    clockOffset = Number(now) - Date.now() / 1000;
  }

  function duration(seconds) {
    const pad = (number) => String(number).padStart(2, '0');
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor(seconds / 60) % 60;
    return hours ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
  }

  setInterval(() => {
    if (document.hidden) return;
    readClock();
    const now = Date.now() / 1000 + clockOffset;
    for (const element of document.querySelectorAll('[data-since]')) {
      const text = duration(Math.max(0, Math.floor(now - Number(element.dataset.since))));
      if (element.textContent !== text) element.textContent = text;
    }
  }, 1000);

  // Keys

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog')) return;
    if (event.key === '/') {
      const box = $('[data-search]') || $('[data-find]');
      if (!box) return;
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === '?') $('#keys')?.showModal();
  });

  // Open, the menu is a dialog and needs a name; closed, its navigation has one already.
  $('#menu')?.addEventListener('show.bs.offcanvas', (event) => event.target.setAttribute('aria-label', 'Menu'));
  $('#menu')?.addEventListener('hidden.bs.offcanvas', (event) => event.target.removeAttribute('aria-label'));

  // The theme changes at once; the form tells the server.
  $('[data-theme-form]')?.addEventListener('submit', async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const body = new URLSearchParams(new FormData(form, event.submitter));
    document.documentElement.dataset.themeChoice = body.get('theme');
    for (const button of form.querySelectorAll('[name=theme]')) {
      button.setAttribute('aria-pressed', String(button === event.submitter));
    }
    const answer = await fetch(form.action, { method: 'POST', body, headers: { 'HX-Request': 'true' } }).catch(() => null);
    if (!answer?.ok) toast('The theme was not saved.', true);
  });

  // Fields that the server left empty need not stand in the address.
  for (const form of document.querySelectorAll('form[method=get]')) {
    form.addEventListener('formdata', (event) => {
      for (const [name, value] of [...event.formData]) if (value === '') event.formData.delete(name);
    });
  }

  $('[data-focus]')?.focus();
  readClock();
})();
