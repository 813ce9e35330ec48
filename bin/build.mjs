// Builds the command line (one minified CommonJS file, which starts fastest, and beside it what few runs need) and the
// library (ESM, its dependencies left to the package manager) into dist/.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { loadLessOfNode, loadOnDemand, ON_DEMAND, touchUp } from './bundle-plugins.mjs';

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
