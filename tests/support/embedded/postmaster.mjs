import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a running server writes into postmaster.pid.
 * @typedef {{ pid: number | null, sharedMemoryId: string | null, status: string | null }} PostmasterFile
 */

/**
 * @param {string} dataDirectory
 * @returns {PostmasterFile} all null when there is no server
 */
export function readPostmasterFile(dataDirectory) {
  let text;
  try {
    text = readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8');
  } catch {
    return { pid: null, sharedMemoryId: null, status: null };
  }
  const lines = text.split('\n');
  return {
    pid: Number(lines[0]),
    sharedMemoryId: lines[6]?.trim().split(/\s+/)[1] ?? null,
    status: lines[7]?.trim() ?? null,
  };
}

/**
 * @param {string} file
 * @returns {number} in bytes, 0 when there is no such file
 */
export function logSize(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * What was written to the log after it had this size.
 * @param {string} file
 * @param {number} size in bytes
 */
export function logAfter(file, size) {
  const buffer = Buffer.alloc(Math.max(0, logSize(file) - size));
  const descriptor = openSync(file, 'r');
  try {
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, buffer.length, size));
  } finally {
    closeSync(descriptor);
  }
}
