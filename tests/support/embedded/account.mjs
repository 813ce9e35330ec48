import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The account of the database server: `uid` and `gid` for `spawn`, or neither when it is the current user.
 * @typedef {{ uid?: number, gid?: number }} Account
 */

/** A Unix socket's path may have 107 bytes; this leaves room for the file name. */
const FOLDER_PATH_LIMIT = 80;

/**
 * PostgreSQL refuses to run as root: as root, it uses an unprivileged account that every Linux has, and creates none.
 * @returns {Account}
 */
export function serverAccount() {
  if (process.getuid?.() !== 0) return {};
  const accounts = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  const account = accounts.get('postgres') ?? accounts.get('nobody');
  if (account === undefined || account.uid === 0) {
    throw new Error(
      'PostgreSQL refuses to run as root, and /etc/passwd has no account postgres or nobody to lend it',
    );
  }
  return account;
}

/**
 * Whether this account can run that program, or (with `-d`, `-r`) reach that path. The system itself is asked, because
 * the modes of all folders above, access lists and mounts matter.
 * @param {Account} account
 * @param {'-x' | '-d'} what
 * @param {string} path
 */
export function canReach(account, what, path) {
  const script = what === '-d' ? 'cd "$0"' : 'test -x "$0" && "$0" --version';
  return spawnSync('/bin/sh', ['-c', script, path], { ...account, cwd: '/', stdio: 'ignore' }).status === 0;
}

/**
 * Creates a folder that the account owns and can reach, in the first temporary folder that allows it.
 * @param {Account} account
 * @returns {string} its absolute path
 */
export function makeFolder(account) {
  for (const parent of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    if (parent.length > FOLDER_PATH_LIMIT - 30 || !canReach(account, '-d', parent)) continue;
    const folder = mkdtempSync(join(parent, 'migrate-lock-postgres-'));
    if (account.uid === undefined || account.gid === undefined) return folder;
    try {
      chownSync(folder, account.uid, account.gid);
      return folder;
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
  }
  throw new Error(
    `no temporary folder that the database server can reach: neither ${tmpdir()} nor /tmp nor /var/tmp`,
  );
}
