import { chmodSync, lstatSync, mkdtempSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { isTrustedOwner } from '../../system/file-owner.js';
import { SEPARATOR } from './socket-list.js';

/** The kernel's limit for the path of a Unix socket, with its final NUL. */
const LONGEST_PATH = 104;
const NAME = 's';

/** The directories in which a socket may be created, in the order in which they are tried. */
export function socketPlaces(env: NodeJS.ProcessEnv): string[] {
  const named = [env.TMPDIR, env.XDG_RUNTIME_DIR].filter((place) => place !== undefined && place !== '');
  return [...new Set([...(named as string[]), '/tmp', '/dev/shm'])];
}

/**
 * Creates a directory in `place` that only our user may enter.
 * @returns the path for a socket in it.
 * @throws Error when that is not possible.
 */
export function makeSocketFolder(place: string): string {
  const parent = realpathSync(place);
  if (parent.includes(SEPARATOR)) throw new Error(`its path contains ${SEPARATOR}`);
  if (Buffer.byteLength(path.join(parent, 'migrate-lock-XXXXXX', NAME)) >= LONGEST_PATH)
    throw new Error('its path is too long for a socket');
  checkNobodyCanReplace(parent);
  const folder = mkdtempSync(path.join(parent, 'migrate-lock-'));
  chmodSync(folder, 0o700);
  return path.join(folder, NAME);
}

/**
 * Checks that only our user can have created the socket, and returns its real path.
 *
 * No other user can replace it between this check and the connection: no part of the real path is a link, every directory of
 * it belongs to us or to root, and other users cannot replace files in them. Links in `socketPath` may change.
 * @throws Error with the owner, or the type, of what was found.
 */
export function findOwnSocket(socketPath: string): string {
  const parent = realpathSync(path.dirname(path.dirname(socketPath)));
  checkNobodyCanReplace(parent);
  const folder = path.join(parent, path.basename(path.dirname(socketPath)));
  const socket = path.join(folder, path.basename(socketPath));
  const [inside, itself] = [lstatSync(folder), lstatSync(socket)];
  const us = process.geteuid?.();
  if (!inside.isDirectory()) throw new Error(`${folder} is not a folder`);
  if (inside.uid !== us) throw new Error(`${folder} belongs to another user (uid ${inside.uid})`);
  if ((inside.mode & 0o777) !== 0o700) throw new Error(`other users may enter ${folder}`);
  if (!itself.isSocket()) throw new Error(`${socket} is not a socket`);
  if (itself.uid !== us) throw new Error(`${socket} belongs to another user (uid ${itself.uid})`);
  return socket;
}

/** Checks from the root down: other users cannot replace a file in a safe directory. */
function checkNobodyCanReplace(folder: string): void {
  if (folder !== path.dirname(folder)) checkNobodyCanReplace(path.dirname(folder));
  const { uid, mode } = lstatSync(folder);
  if (!isTrustedOwner(uid)) throw new Error(`${folder} belongs to another user (uid ${uid})`);
  const [othersMayWrite, isSticky] = [(mode & 0o022) !== 0, (mode & 0o1000) !== 0];
  if (othersMayWrite && !isSticky) throw new Error(`other users may replace what is in ${folder}`);
}
