import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { compileProgram } from '../../bin/code-cache.mjs';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
/** What --help says, and no other text of the program. */
const SAID = 'Lets exactly one process at a time run a database migration';
const FORGED = SAID.replace('Lets', 'lETS');

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-code-'));
  cpSync(DIST, folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = () => join(folder, 'program.cjs');
const cache = () => join(folder, 'program.cache');
const change = (file: string, changed: (bytes: Buffer) => Buffer): void =>
  writeFileSync(file, changed(readFileSync(file)));
const help = (...options: string[]) =>
  spawnSync(process.execPath, [...options, join(folder, 'migrate-lock.cjs'), '--help'], { encoding: 'utf8' });

describe('the compiled code beside the program', () => {
  test('is taken by the Node.js that built it', () => {
    expect(compileProgram(program(), cache()).cachedDataRejected).toBe(false);
    expect(help()).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining(SAID) });
  });

  test.each([
    ['is not there', () => rmSync(cache())],
    [
      'was made for another Node.js',
      () => change(cache(), (bytes) => forged(bytes, process.version, 'v99.0')),
    ],
    ['is cut off', () => change(cache(), (bytes) => bytes.subarray(0, bytes.length / 2))],
    ['is empty', () => change(cache(), () => Buffer.alloc(0))],
  ])('where it %s, the program is compiled anew', (_, damage) => {
    damage();
    expect(compileProgram(program(), cache()).cachedDataRejected).not.toBe(false);
    expect(help()).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining(SAID) });
  });

  test('is not run when the program is another one, even of the same length', () => {
    change(program(), (bytes) => forged(bytes, SAID, FORGED));
    expect(help()).toMatchObject({ status: 0, stdout: expect.stringContaining(FORGED) });
  });

  test('is left alone by a Node.js with other flags', () => {
    const { status, stdout } = help('--no-opt', '--stack-size=900');
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining(SAID) });
  });
});

function forged(bytes: Buffer, is: string, shallBe: string): Buffer {
  const at = bytes.indexOf(is);
  expect(at).toBeGreaterThanOrEqual(0);
  const text = Buffer.from(bytes);
  text.write(shallBe, at, is.length, 'latin1');
  return text;
}
