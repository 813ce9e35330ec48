/** Which sockets count as created by the same user and safe from others. */
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { findOwnSocket, makeSocketFolder, socketPlaces } from '../../../src/run/holder/socket-place.js';

const NOBODY = 65_534;
const asRoot = process.getuid?.() === 0 ? test : test.skip;

let base: string;
let folder: string;
let socket: string;
let server: net.Server;

beforeEach(async () => {
  base = realpathSync(mkdtempSync('/tmp/migrate-lock-test-'));
  folder = join(base, 'folder');
  mkdirSync(folder, { mode: 0o700 });
  socket = join(folder, 's');
  server = net.createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});
afterEach(() => {
  server.close();
  rmSync(base, { recursive: true });
});

test('finds a socket of the same user in a folder that only that user can enter', () => {
  expect(findOwnSocket(socket)).toBe(socket);
});

test('resolves links above the folder, and returns the real path', () => {
  symlinkSync(base, join(base, 'way'));
  expect(findOwnSocket(join(base, 'way', 'folder', 's'))).toBe(socket);
});

describe('refuses', () => {
  test('a missing socket', () => {
    expect(() => findOwnSocket('/nowhere/folder/s')).toThrow(/ENOENT/);
    expect(() => findOwnSocket(join(folder, 'other'))).toThrow(/ENOENT/);
  });

  test.each([0o755, 0o750, 0o770, 0o777, 0o1777])('a socket in a folder of mode %o', (mode) => {
    chmodSync(folder, mode);
    expect(() => findOwnSocket(socket)).toThrow(`other users may enter ${folder}`);
  });

  test('a socket in a folder that is a link', () => {
    symlinkSync(folder, join(base, 'link'));
    expect(() => findOwnSocket(join(base, 'link', 's'))).toThrow('is not a folder');
  });

  test('a link, and any file that is not a socket', () => {
    symlinkSync('s', join(folder, 'link'));
    writeFileSync(join(folder, 'file'), '');
    for (const name of ['link', 'file'])
      expect(() => findOwnSocket(join(folder, name))).toThrow('is not a socket');
  });

  test('a socket whose folder other users can replace', () => {
    chmodSync(base, 0o777);
    expect(() => findOwnSocket(socket)).toThrow(`other users may replace what is in ${base}`);
    // Like /tmp.
    chmodSync(base, 0o1777);
    expect(findOwnSocket(socket)).toBe(socket);
  });

  asRoot.each([
    ['in a folder of another user', () => folder, () => folder],
    ['that is another user’s', () => socket, () => socket],
    ['under a folder of another user, who could replace what is in it', () => base, () => base],
  ])('one %s (skipped where we are not root)', (_, path, named) => {
    lchownSync(path(), NOBODY, NOBODY);
    expect(() => findOwnSocket(socket)).toThrow(`${named()} belongs to another user (uid 65534)`);
  });
});

describe('the place of a new socket', () => {
  test('is in TMPDIR, then XDG_RUNTIME_DIR, /tmp or /dev/shm', () => {
    expect(socketPlaces({ TMPDIR: '/a', XDG_RUNTIME_DIR: '/b' })).toEqual(['/a', '/b', '/tmp', '/dev/shm']);
    expect(socketPlaces({ TMPDIR: '', XDG_RUNTIME_DIR: '/tmp' })).toEqual(['/tmp', '/dev/shm']);
  });

  test('is a new folder that only this user can enter', () => {
    const made = makeSocketFolder(base);
    expect(made).toMatch(new RegExp(`^${base}/migrate-lock-\\w{6}/s$`));
  });

  test.each<[string, (at: string) => string, RegExp]>([
    ['is not there', (at) => join(at, 'none'), /ENOENT/],
    ['is a file', (at) => (writeFileSync(join(at, 'file'), ''), join(at, 'file')), /ENOTDIR/],
    [
      'has a path that is too long',
      (at) => (mkdirSync(join(at, 'x'.repeat(90))), join(at, 'x'.repeat(90))),
      /too long/,
    ],
    ['has a colon in its path', (at) => (mkdirSync(join(at, 'a:b')), join(at, 'a:b')), /its path contains :/],
    ['others may replace things in', (at) => (chmodSync(at, 0o777), at), /other users may replace/],
  ])('is never a folder that %s', (_, place, problem) => {
    expect(() => makeSocketFolder(place(base))).toThrow(problem);
  });
});
