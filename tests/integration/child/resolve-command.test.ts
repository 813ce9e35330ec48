import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { resolveCommand } from '../../../src/child/resolve-command.js';
import { MigrateLockError } from '../../../src/errors.js';

let home: string;
const at = (...parts: string[]): string => path.join(home, ...parts);

beforeAll(() => {
  home = mkdtempSync(path.join(tmpdir(), 'migrate-lock-resolve-'));
  for (const folder of [
    'one',
    'two',
    'two/tool.d',
    'project/node_modules/.bin',
    'project/packages/app',
    'three/knex',
  ])
    mkdirSync(at(folder), { recursive: true });
  for (const file of ['one/plain', 'two/plain', 'two/tool', 'project/node_modules/.bin/knex', 'project/own'])
    writeFileSync(at(file), '#!/bin/sh\n');
  for (const file of ['two/plain', 'two/tool', 'project/node_modules/.bin/knex', 'project/own'])
    chmodSync(at(file), 0o755);
  symlinkSync('nowhere', at('one', 'dangling'));
});
afterAll(() => rmSync(home, { recursive: true }));

function refusal(command: string, env: NodeJS.ProcessEnv, cwd = home): MigrateLockError {
  try {
    resolveCommand(command, env, cwd);
  } catch (error) {
    if (error instanceof MigrateLockError) return error;
    throw error;
  }
  throw new Error(`${command} was found`);
}

describe('a name without a slash', () => {
  test('is searched in PATH, in order', () => {
    expect(resolveCommand('tool', { PATH: `${at('one')}:${at('two')}` }, home)).toBe(at('two', 'tool'));
  });

  test('skips a match that may not be executed, and a directory of that name', () => {
    expect(resolveCommand('plain', { PATH: `${at('one')}:${at('two')}` }, home)).toBe(at('two', 'plain'));
    const binaries = at('project', 'node_modules', '.bin');
    expect(resolveCommand('knex', { PATH: `${at('three')}:${binaries}` }, home)).toBe(
      path.join(binaries, 'knex'),
    );
  });

  test('treats an empty entry of PATH as the current directory, and keeps relative entries', () => {
    expect(resolveCommand('own', { PATH: '/nowhere:' }, at('project'))).toBe('./own');
    expect(resolveCommand('own', { PATH: '' }, at('project'))).toBe('./own');
    expect(resolveCommand('tool', { PATH: 'two' }, home)).toBe('two/tool');
  });

  test('without PATH is searched where execvp searches', () => {
    expect(resolveCommand('sh', {}, home)).toMatch(/^(\/usr)?\/bin\/sh$/);
  });

  test('that is not found exits with 127', () => {
    expect(refusal('tool', { PATH: at('one') })).toMatchObject({ code: 'COMMAND_NOT_FOUND', exitCode: 127 });
    expect(refusal('dangling', { PATH: at('one') })).toMatchObject({ exitCode: 127 });
    expect(refusal('', { PATH: at('one') })).toMatchObject({ exitCode: 127 });
    expect(refusal('tool', { PATH: at('one') }).hint).not.toContain('npx');
  });

  test('that matches only files that may not be executed exits with 126', () => {
    const error = refusal('plain', { PATH: at('one') });
    expect(error).toMatchObject({ code: 'COMMAND_NOT_EXECUTABLE', exitCode: 126 });
    expect(error.message).toContain(at('one', 'plain'));
    expect(error.hint).toContain('chmod +x');
  });

  test('gets a hint to npx when npm installed it here or above', () => {
    const error = refusal('knex', { PATH: '/nowhere' }, at('project', 'packages', 'app'));
    expect(error.exitCode).toBe(127);
    expect(error.hint).toContain('npx knex');
    expect(error.hint).toContain(at('project', 'node_modules', '.bin'));
  });
});

describe('a name with a slash', () => {
  test('is used as it is, from the given directory', () => {
    expect(resolveCommand('./own', { PATH: '/nowhere' }, at('project'))).toBe('./own');
    expect(resolveCommand(at('two', 'tool'), {}, '/')).toBe(at('two', 'tool'));
  });

  test.each([
    ['./absent', 127],
    ['one/plain', 126],
    ['./one', 126],
    ['one/dangling', 127],
    ['/dev/null', 126],
  ])('%s: %i', (command, exitCode) => {
    expect(refusal(command, { PATH: '/bin' }).exitCode).toBe(exitCode);
  });
});

describe('a folder of PATH that this user may not search', () => {
  /** Root may search every folder, so the test runs as another user. */
  const AS_NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  let bundle: string;

  beforeAll(async () => {
    chmodSync(home, 0o755);
    mkdirSync(at('closed'));
    writeFileSync(at('closed', 'hidden'), '#!/bin/sh\n', { mode: 0o755 });
    writeFileSync(at('closed', 'tool'), '#!/bin/sh\n', { mode: 0o755 });
    chmodSync(at('closed'), 0o000);
    bundle = at('resolve.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('../../../src/child/resolve-command.ts', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: bundle,
      logLevel: 'warning',
    });
  });
  afterAll(() => chmodSync(at('closed'), 0o755));

  function resolved(
    command: string,
    PATH: string,
  ): { file?: string; exitCode?: number; message?: string; hint?: string } {
    const program = `
      import { resolveCommand } from ${JSON.stringify(bundle)};
      let told;
      try {
        told = { file: resolveCommand(...${JSON.stringify([command, { PATH }, home])}) };
      } catch ({ exitCode, message, hint }) {
        told = { exitCode, message, hint };
      }
      console.log(JSON.stringify(told));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
      ...AS_NOBODY,
      cwd: '/',
      encoding: 'utf8',
    });
    if (stderr !== '') throw new Error(stderr);
    return JSON.parse(stdout) as ReturnType<typeof resolved>;
  }

  test('does not change "not found" to "not executable"', () => {
    const told = resolved('hidden', `${at('closed')}:${at('two')}`);
    expect(told).toMatchObject({ exitCode: 127, message: 'command not found: hidden' });
    expect(told.hint).toContain(`may not search ${at('closed')}`);
    expect(resolved('hidden', `${at('closed')}:${at('closed')}`).hint).toBe(told.hint);
    expect(told.hint).not.toContain('chmod');
  });

  test('is skipped', () => {
    expect(resolved('tool', `${at('closed')}:${at('two')}`)).toEqual({ file: at('two', 'tool') });
  });

  test('is named when the command includes it, without a hint to chmod +x', () => {
    const told = resolved(at('closed', 'tool'), '/bin');
    expect(told.exitCode).toBe(126);
    expect(told.hint).toContain('directories in its path');
    expect(told.hint).not.toContain('chmod');
  });
});

describe('a shell command line as a command', () => {
  test.each([
    ['FOO=1', 'env FOO=...'],
    ['PGPASSWORD=hunter2', 'env PGPASSWORD=...'],
    ['PATH+=x', 'env PATH=...'],
    ...['cd', 'export', 'source', 'set', '.', 'eval', 'if', 'ulimit', '[['].map((word) => [word, 'sh -c']),
    ['echo hello', 'sh -c'],
    ['FOO=1 knex migrate:latest', 'sh -c'],
    ['./migrate.sh --now', 'Remove the quotes'],
    ['cd app && knex migrate:latest', 'sh -c'],
    ['C:\\app\\knex.cmd', 'Windows'],
    ['C:/Program/knex', 'Windows'],
    ['node_modules\\.bin\\knex', 'Windows'],
    ['knex.cmd', 'Windows program'],
    ['knex;', 'shell operator'],
    ['a&&b', 'shell operator'],
    ['$KNEX', 'expanded'],
    ['$(KNEX)', 'expanded'],
    ['~/bin/knex', 'expands ~'],
    ['--ttl', 'before --'],
    ['', 'empty'],
  ])('%j is not found: %s', (command = '', hint = '') => {
    const error = refusal(command, { PATH: at('two') });
    expect(error).toMatchObject({ code: 'COMMAND_NOT_FOUND', exitCode: 127 });
    expect(error.hint).toContain(hint);
    expect(error.hint).not.toContain('hunter2');
  });

  test('a quoted script that is too long for a file name is not found', () => {
    for (const script of ['x '.repeat(3_000), '/x '.repeat(3_000)]) {
      expect(refusal(script, { PATH: at('two') })).toMatchObject({
        exitCode: 127,
        hint: expect.stringContaining('sh -c'),
      });
    }
  });

  test('a program that has such a name is found', () => {
    mkdirSync(at('odd'));
    for (const name of ['cd', 'A=1', 'two words']) {
      writeFileSync(at('odd', name), '#!/bin/sh\n', { mode: 0o755 });
      expect(resolveCommand(name, { PATH: at('odd') }, home)).toBe(at('odd', name));
    }
  });
});
