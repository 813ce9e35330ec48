import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A program with its arguments, and the variables that it gets: connection strings are never arguments. */
/** @typedef {{ file: string, args: string[], env?: Record<string, string> }} Program */
/** @typedef {(command: readonly string[]) => Program} Contender runs a command under its lock */

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CLI = join(ROOT, 'dist', 'migrate-lock.cjs');
/** What `npm run build:binary` makes; it need not be there. */
export const EXECUTABLE = join(ROOT, 'dist', 'bin', `migrate-lock-${process.platform}-${process.arch}`);
const WITHLOCK = createRequire(import.meta.url).resolve('advisory-lock/package.json');

/**
 * @param {string} url
 * @param {readonly string[]} [options] of `migrate-lock run`
 * @returns {Contender}
 */
export function migrateLock(url, options = []) {
  return (command) => ({
    file: process.execPath,
    args: [CLI, 'run', ...options, '--', ...command],
    env: { DATABASE_URL: url },
  });
}

/**
 * @param {string} url
 * @returns {Contender}
 */
export function executable(url) {
  return (command) => ({ file: EXECUTABLE, args: ['run', '--', ...command], env: { DATABASE_URL: url } });
}

/**
 * @param {string} url
 * @returns {Contender}
 */
export function withlock(url) {
  return (command) => ({
    file: process.execPath,
    args: [join(dirname(WITHLOCK), 'build', 'bin', 'withlock.js'), 'bench', '--', ...command],
    env: { PG_CONNECTION_STRING: url },
  });
}

/**
 * @param {string} file
 * @returns {Contender}
 */
export function flock(file) {
  return (command) => ({ file: 'flock', args: [file, ...command] });
}

/** @type {Contender} */
export function etcdctlLock(command) {
  return { file: 'etcdctl', args: ['lock', 'bench', ...command] };
}

/** @returns {boolean} whether flock is installed */
export function hasFlock() {
  return spawnSync('flock', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** @returns {boolean} whether etcdctl is installed, and an etcd answers it */
export function hasEtcd() {
  return spawnSync('etcdctl', ['endpoint', 'health'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

/**
 * @param {string} option
 * @returns whether `migrate-lock run` has it
 */
export function hasOption(option) {
  const help = execFileSync(process.execPath, [CLI, 'run', '--help'], { encoding: 'utf8' });
  return new RegExp(`^\\s*${option}\\b`, 'm').test(help);
}

/** @returns {Record<string, string>} the contenders' versions */
export function versions() {
  const require = createRequire(import.meta.url);
  const revision = spawnSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT, encoding: 'utf8' });
  return {
    'migrate-lock': `${require('../package.json').version}, revision ${revision.stdout?.trim() || 'unknown'}`,
    'advisory-lock (withlock)': require('advisory-lock/package.json').version,
  };
}
