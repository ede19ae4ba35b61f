// Copies the panel's third-party and own browser files into admin/static/vendor under names that hold their content's
// hash, each with .br and .gz beside it, and writes manifest.json, which admin/assets.py reads. Run after `npm ci`.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const own = join(here, '..', 'static');
const vendor = join(own, 'vendor');
const modules = join(here, 'node_modules');

const files = {
  'tabler.css': '@tabler/core/dist/css/tabler.min.css',
  'tabler.js': '@tabler/core/dist/js/tabler.min.js',
  'htmx.js': 'htmx.org/dist/htmx.min.js',
  'hx-sse.js': 'htmx.org/dist/ext/hx-sse.min.js',
  'inter-latin.woff2': '@fontsource-variable/inter/files/inter-latin-wght-normal.woff2',
  'inter-latin-ext.woff2': '@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2',
  'tom-select.js': 'tom-select/dist/js/tom-select.popular.min.js',
  'tom-select.css': 'tom-select/dist/css/tom-select.bootstrap5.min.css',
  'uplot.js': 'uplot/dist/uPlot.iife.min.js',
  'uplot.css': 'uplot/dist/uPlot.min.css',
};
const licences = {
  tabler: '@tabler/core', 'tabler-icons': '@tabler/icons', htmx: 'htmx.org', inter: '@fontsource-variable/inter',
  'tom-select': 'tom-select', uplot: 'uplot',
};
const manifest = {};

function write(name, content) {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 8);
  const extension = extname(name);
  const target = `${name.slice(0, -extension.length)}-${hash}${extension}`;
  writeFileSync(join(vendor, target), content);
  if (extension !== '.woff2') { // already compressed
    writeFileSync(join(vendor, `${target}.br`), brotliCompressSync(content));
    writeFileSync(join(vendor, `${target}.gz`), gzipSync(content, { level: 9 }));
  }
  manifest[name] = target;
}

function sprite() {
  const names = readFileSync(join(own, 'icons.txt'), 'utf8').split('\n').filter((line) => line && !line.startsWith('#'));
  const symbols = names.map((name) => {
    const svg = readFileSync(join(modules, '@tabler/icons/icons/outline', `${name}.svg`), 'utf8');
    const paths = svg.slice(svg.indexOf('>', svg.indexOf('<svg')) + 1, svg.lastIndexOf('</svg>'));
    return `<symbol id="${name}" viewBox="0 0 24 24">${paths.replace(/<path stroke="none"[^>]*>/, '').replace(/\s*\n\s*/g, '')}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join('')}</svg>\n`;
}

rmSync(vendor, { recursive: true, force: true });
mkdirSync(vendor, { recursive: true });
for (const [name, path] of Object.entries(files)) {
  const content = readFileSync(join(modules, path));
  const isText = /\.(js|css)$/.test(name);
  // A source map that is not served is a 404 in the console.
  write(name, isText ? Buffer.from(content.toString('utf8').replace(/^\/[/*]# sourceMappingURL=.*$/gm, '')) : content);
}
write('icons.svg', Buffer.from(sprite()));
const css = readFileSync(join(own, 'app.css'), 'utf8').replace(/url\("vendor\/([^"]+)"\)/g, (_, name) => `url("${manifest[name]}")`);
write('app.css', Buffer.from(css));
for (const name of ['app.js', 'charts.js', 'forms.js', 'theme.js', 'favicon.svg']) write(name, readFileSync(join(own, name)));
for (const [name, path] of Object.entries(licences)) {
  const text = ['LICENSE', 'LICENSE.md', 'LICENSE.txt'].map((file) => {
    try { return readFileSync(join(modules, path, file), 'utf8'); } catch { return ''; }
  }).find(Boolean) ?? `${JSON.parse(readFileSync(join(modules, path, 'package.json'))).license}\n`;
  writeFileSync(join(vendor, `${name}.licence.txt`), text);
}
writeFileSync(join(vendor, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
