// Builds dist/bin/migrate-lock-<os>-<arch>: one executable that contains Node.js, the program and its V8 code cache (a "single
// executable application"). It works on the system on which it is built: a code cache fits one processor and one build of V8.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { common, root } from './bundle-options.mjs';
import { bundledPackages, LICENCES, licencesOf } from './licences.mjs';

const system = `${process.platform}-${process.arch}`;
const packaging = createRequire(path.join(root, 'packaging', 'package.json'));
const folder = mkdtempSync(path.join(tmpdir(), 'migrate-lock-binary-'));
try {
  const made = await makeIn(folder);
  const target = path.join(root, 'dist', 'bin', `migrate-lock-${system}`);
  mkdirSync(path.dirname(target), { recursive: true });
  // Beside it, then in its place at once: a test that runs meanwhile never sees half of it.
  const beside = `${target}.${process.pid}`;
  copyFileSync(made, beside);
  renameSync(beside, target);
  console.log(`${path.relative(root, target)}: ${(statSync(target).size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(folder, { recursive: true });
}

/** @param {string} folder */
async function makeIn(folder) {
  const made = path.join(folder, 'migrate-lock');
  const node = nodeOfThisSystem();
  const packages = await bundleInto(path.join(folder, 'migrate-lock.cjs'));
  const licenceOfNode = readFileSync(path.join(path.dirname(node), '..', 'LICENSE'), 'utf8');
  writeFileSync(path.join(folder, LICENCES), `${licencesOf(root, packages)}\n${licenceOfNode}`);
  prepareBlob(node, folder);
  copyFileSync(node, made);
  chmodSync(made, 0o755);
  // Before the program is put in: strip may damage data that it does not know.
  run('strip', ['--strip-all', made], folder);
  const { inject } = packaging('postject');
  await inject(made, 'NODE_SEA_BLOB', readFileSync(path.join(folder, 'blob')), {
    // The one place of Node.js that says whether a program is inside.
    sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
  });
  return made;
}

function nodeOfThisSystem() {
  try {
    return packaging.resolve(`node-${system}/bin/node`);
  } catch {
    throw new Error(
      `packaging/package.json has no Node.js for ${system}: the executable is for Linux, x64 and arm64`,
    );
  }
}

/**
 * All in one file. In an executable with a code cache, `import()` does not work.
 * @param {string} file
 * @returns the folders of the packages in it
 */
async function bundleInto(file) {
  const { outputFiles = [], metafile } = await build({
    ...common,
    target: 'node24',
    entryPoints: ['bin/migrate-lock.ts'],
    outfile: file,
    format: 'cjs',
    minify: true,
    legalComments: 'inline',
    supported: { 'dynamic-import': false },
    define: { ...common.define, MIGRATE_LOCK_IS_EXECUTABLE: 'true' },
  });
  for (const { path: made, contents } of outputFiles) writeFileSync(made, contents);
  return bundledPackages(metafile);
}

/**
 * @param {string} node
 * @param {string} folder
 */
function prepareBlob(node, folder) {
  const settings = {
    // Relative: the name is in the executable.
    main: 'migrate-lock.cjs',
    output: 'blob',
    // The licences are in the executable as plain text.
    assets: { [LICENCES]: LICENCES },
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    // The NODE_OPTIONS of a job are for its command: they neither change this program nor run other code in it.
    execArgv: [],
    execArgvExtension: 'none',
  };
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(settings));
  run(node, ['--experimental-sea-config', 'config.json'], folder);
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {string} cwd
 */
function run(program, args, cwd) {
  const env = { ...process.env, NODE_OPTIONS: '' };
  try {
    execFileSync(program, args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (missing)
      throw new Error(`there is no ${program} (strip is in Debian's package binutils)`, { cause: error });
    throw error;
  }
}
