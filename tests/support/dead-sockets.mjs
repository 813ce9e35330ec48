/** A run that is killed together with its guard leaves the folder of its socket, and tests kill such runs. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FOLDER = /^migrate-lock-\w{6}$/;

/** Where src/run/holder/socket-place.ts creates them. */
const PLACES = [...new Set([tmpdir(), '/tmp', '/dev/shm'])];

/**
 * Removes the folders of sockets that were created after `sinceMs` (of Date.now()) and that no process listens on.
 * @param {number} sinceMs
 * @param {readonly string[]} [places]
 */
export async function removeDeadSockets(sinceMs, places = PLACES) {
  for (const folder of places.flatMap(socketFolders)) {
    const socket = join(folder, 's');
    if (createdAtMs(socket) < sinceMs || (await isListenedOn(socket))) continue;
    try {
      rmSync(folder, { recursive: true });
    } catch {
      // It belongs to another user.
    }
  }
}

/** @param {string} place */
function socketFolders(place) {
  try {
    return readdirSync(place)
      .filter((name) => FOLDER.test(name))
      .map((name) => join(place, name));
  } catch {
    return [];
  }
}

/**
 * -Infinity: there is no such file, or the folder belongs to another user.
 * @param {string} socket
 */
function createdAtMs(socket) {
  try {
    return statSync(socket).mtimeMs;
  } catch {
    return -Infinity;
  }
}

/**
 * @param {string} socket
 * @returns {Promise<boolean>}
 */
function isListenedOn(socket) {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', (error) => resolve(!('code' in error && error.code === 'ECONNREFUSED')));
  });
}
