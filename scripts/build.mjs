// Builds the command line (minified CommonJS with its packages in it) and the library (ESM, its packages left to the package
// manager) into dist/.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { common, root } from './bundle-options.mjs';
import { bundledPackages, LICENCES, licencesOf } from './licences.mjs';

/** Modules that few runs need and that bring large packages: files of their own, loaded at their one `import()`. */
const ON_DEMAND = ['src/metrics/prometheus.ts', 'src/ui/drawing.ts', 'src/db/saslprep.ts'];
const onDemandNames = ON_DEMAND.map((file) => path.basename(file, '.ts'));

/** @type {import('esbuild').Plugin} */
const onDemand = {
  name: 'on-demand',
  setup({ onResolve }) {
    onResolve(
      { filter: new RegExp(`^\\./(${onDemandNames.join('|')})\\.js$`) },
      ({ kind, path: imported }) =>
        kind === 'dynamic-import' ? { path: imported.replace(/js$/, 'cjs'), external: true } : undefined,
    );
  },
};

const results = await Promise.all([
  build({
    ...common,
    entryPoints: [...ON_DEMAND, 'bin/migrate-lock.ts'],
    entryNames: '[name]',
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    plugins: [onDemand],
    format: 'cjs',
    minify: true,
    legalComments: 'inline',
  }),
  build({
    ...common,
    entryPoints: ['src/index.ts'],
    outfile: 'dist/index.js',
    format: 'esm',
    packages: 'external',
  }),
]);
const dist = path.join(root, 'dist');
const schema = path.join(dist, 'event.schema.json');
const licences = path.join(dist, LICENCES);
const files = results.flatMap(({ outputFiles = [] }) => outputFiles);
for (const { path: file, contents } of files) place(file, contents);
place(
  licences,
  Buffer.from(
    licencesOf(
      root,
      results.flatMap(({ metafile }) => bundledPackages(metafile)),
    ),
  ),
);
place(schema, readFileSync(path.join(root, 'src/events', path.basename(schema))));
placeTypes();
// The executable is built by itself (build-binary.mjs), and is not in the package.
removeOthers([
  ...files.map((file) => file.path),
  licences,
  schema,
  path.join(dist, 'types'),
  path.join(dist, 'bin'),
]);

/**
 * Removes what a build of older sources left in dist/, because the package has all of it. Another build may be putting files in
 * place now, each under its process id.
 * @param {string[]} made
 */
function removeOthers(made) {
  for (const name of readdirSync(dist)) {
    const file = path.join(dist, name);
    if (!made.includes(file) && !/\.\d+(\.old)?$/.test(name)) rmSync(file, { recursive: true, force: true });
  }
}

/** The library's types, in a new folder, so that none of an earlier build stays. */
function placeTypes() {
  const types = path.join(dist, 'types');
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
