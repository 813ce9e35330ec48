// Builds the command line (one minified CommonJS file with its packages in it) and the library (ESM, its packages left to the
// package manager) into dist/.
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

const results = await Promise.all([
  build({
    ...common,
    entryPoints: ['bin/migrate-lock.ts'],
    outfile: 'dist/migrate-lock.cjs',
    format: 'cjs',
    minify: true,
    keepNames: true, // errors bear the names of their classes
    legalComments: 'inline',
    banner: { js: '#!/usr/bin/env node' },
  }),
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
const schema = 'audit-event.schema.json';
place(path.join(root, 'dist', schema), readFileSync(path.join(root, 'src/audit', schema)));
placeTypes();

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
