// Sets light or dark before the first paint: the user's choice, or the device's on "auto".
(() => {
  'use strict';
  const root = document.documentElement;
  const device = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const choice = root.dataset.themeChoice;
    const theme = choice === 'light' || choice === 'dark' ? choice : device.matches ? 'dark' : 'light';
    if (root.dataset.bsTheme === theme) return;
    root.dataset.bsTheme = theme;
    root.dispatchEvent(new CustomEvent('theme'));
  };
  apply();
  device.addEventListener('change', apply);
  new MutationObserver(apply).observe(root, { attributeFilter: ['data-theme-choice'] });
})();
