// Builds the command line (one minified CommonJS file, which starts fastest, and beside it what few runs need) and the
// library (ESM, its dependencies left to the package manager) into dist/.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  define: { MIGRATE_LOCK_VERSION: JSON.stringify(version) },
  logLevel: 'warning',
  write: false,
};

/** @type {import('esbuild').BuildOptions} */
const minified = { ...common, format: 'cjs', minify: true, keepNames: true, legalComments: 'inline' };

/** Modules that the command line imports when it needs them, each with its packages in a file of its own: they cost no start. */
const ON_DEMAND = { drawing: 'src/ui/drawing.ts', prometheus: 'src/metrics/prometheus.ts' };

/** @type {import('esbuild').Plugin} */
const loadOnDemand = {
  name: 'load-on-demand',
  setup({ onResolve }) {
    onResolve({ filter: /\.js$/ }, ({ path: imported, kind }) => {
      const name = path.basename(imported, '.js');
      if (kind === 'dynamic-import' && name in ON_DEMAND) return { path: `./${name}.cjs`, external: true };
    });
  },
};

/**
 * What packages import of Node that takes long to load, and what they get instead. postgres.js never uses Node's tls here, as it
 * is given sockets on which TLS is spoken already. What fills nanoid's bytes is the same generator, without all of Web Crypto.
 * @type {Record<string, Record<string, string>>}
 */
const INSTEAD = {
  postgres: {
    tls: 'export default { connect() { throw new Error("sockets come with TLS here"); } };',
    perf_hooks: 'const own = performance; export { own as performance };',
  },
  nanoid: {
    'node:crypto':
      'const { randomFillSync } = require("crypto"); export const webcrypto = { getRandomValues: randomFillSync };',
  },
};

/** @type {import('esbuild').Plugin} */
const loadLessOfNode = {
  name: 'load-less-of-node',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(tls|perf_hooks|node:crypto)$/ }, ({ path: imported, importer }) => {
      const [, name = ''] = /[\\/]node_modules[\\/](postgres|nanoid)[\\/]/.exec(importer) ?? [];
      const contents = INSTEAD[name]?.[imported];
      if (contents !== undefined) return { path: imported, namespace: 'instead', pluginData: contents };
    });
    onLoad({ filter: /.*/, namespace: 'instead' }, ({ pluginData }) => ({ contents: pluginData }));
  },
};

/** @type {import('esbuild').Plugin} */
const touchUp = {
  name: 'touch-up',
  setup({ onEnd }) {
    onEnd(({ outputFiles = [] }) => {
      for (const file of outputFiles) {
        // esbuild copies every module of Node.js whose default export is imported, property by property.
        const quick = file.text.replaceAll(
          /\b__toESM\((require\("(?:node:)?[a-z_/]+"\)),1\)/g,
          '(module=>({__proto__:module,default:module}))($1)',
        );
        // And names packages' modules by where they lie for who builds.
        const anywhere = quick.replaceAll(/\b__commonJS\(\{"[^"]*node_modules\//g, '__commonJS({"');
        if (quick === file.text || anywhere === quick)
          return { errors: [{ text: 'esbuild writes its output in another way now: see build.mjs' }] };
        file.contents = Buffer.from(anywhere);
      }
    });
  },
};

const results = await Promise.all([
  build({
    ...minified,
    entryPoints: ['bin/start.ts'],
    outfile: 'dist/migrate-lock.cjs',
    banner: { js: '#!/usr/bin/env node' },
  }),
  build({
    ...minified,
    // Errors bear the names of their classes: these stay, as to set them at run time takes a fiftieth of a whole run.
    minify: false,
    keepNames: false,
    minifyWhitespace: true,
    minifySyntax: true,
    entryPoints: ['bin/migrate-lock.ts'],
    // As Node.js wraps a CommonJS module: there it would copy the whole text for that.
    banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
    footer: { js: '})' },
    outfile: 'dist/program.cjs',
    inject: ['bin/monotonic-clock.ts'],
    plugins: [loadOnDemand, loadLessOfNode, touchUp],
    // A require() does without Node's loader of ES modules.
    supported: { 'dynamic-import': false },
  }),
  build({ ...minified, entryPoints: ON_DEMAND, outdir: 'dist', outExtension: { '.js': '.cjs' } }),
  build({
    ...common,
    entryPoints: ['src/index.ts'],
    outfile: 'dist/index.js',
    format: 'esm',
    packages: 'external',
  }),
]);
for (const { outputFiles } of results) {
  for (const { path: file, contents } of outputFiles ?? []) place(file, contents);
}
cacheCode();
const schema = 'audit-event.schema.json';
place(path.join(root, 'dist', schema), readFileSync(path.join(root, 'src/audit', schema)));
placeTypes();

/** For the Node.js that builds it. */
function cacheCode() {
  const maker = path.join(root, 'bin', 'make-code-cache.mjs');
  const program = path.join(root, 'dist', 'program.cjs');
  const cache = path.join(root, 'dist', 'program.cache');
  // What the builder's own Node.js was told (NODE_OPTIONS) is not for the cache.
  execFileSync(process.execPath, ['--random-seed=1', maker, program, cache], {
    env: {},
    stdio: 'inherit',
  });
}

/** The library's types, as a whole: none that a former build has left. */
function placeTypes() {
  const types = path.join(root, 'dist', 'types');
  const [made, old] = [`${types}.${process.pid}`, `${types}.${process.pid}.old`];
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  try {
    execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', made], {
      cwd: root,
      stdio: 'inherit',
    });
  } catch (error) {
    // The package has all of dist/.
    rmSync(made, { recursive: true, force: true });
    throw error;
  }
  try {
    renameSync(types, old);
  } catch {
    // The first build.
  }
  renameSync(made, types);
  rmSync(old, { recursive: true, force: true });
}

/**
 * Puts a file in its place at once: another build or a test that runs meanwhile never sees half of one.
 * @param {string} file
 * @param {Uint8Array} contents
 */
function place(file, contents) {
  mkdirSync(path.dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, contents, { mode: file.endsWith('migrate-lock.cjs') ? 0o755 : 0o644 });
  renameSync(beside, file);
}
