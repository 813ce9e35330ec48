import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { resolveCommand } from '../../src/child/resolve-command.js';
import { MigrateLockError } from '../../src/errors.js';

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
  test('is looked for in PATH, in order', () => {
    expect(resolveCommand('tool', { PATH: `${at('one')}:${at('two')}` }, home)).toBe(at('two', 'tool'));
  });

  test('goes past a match that may not be executed, and past a directory of that name', () => {
    expect(resolveCommand('plain', { PATH: `${at('one')}:${at('two')}` }, home)).toBe(at('two', 'plain'));
    const binaries = at('project', 'node_modules', '.bin');
    expect(resolveCommand('knex', { PATH: `${at('three')}:${binaries}` }, home)).toBe(
      path.join(binaries, 'knex'),
    );
  });

  test('reads an empty entry of PATH as the current directory, and keeps relative ones relative', () => {
    expect(resolveCommand('own', { PATH: '/nowhere:' }, at('project'))).toBe('./own');
    expect(resolveCommand('own', { PATH: '' }, at('project'))).toBe('./own');
    expect(resolveCommand('tool', { PATH: 'two' }, home)).toBe('two/tool');
  });

  test('without any PATH is looked for where execvp looks', () => {
    expect(resolveCommand('sh', {}, home)).toMatch(/^(\/usr)?\/bin\/sh$/);
  });

  test('is told as not found: 127', () => {
    expect(refusal('tool', { PATH: at('one') })).toMatchObject({ code: 'COMMAND_NOT_FOUND', exitCode: 127 });
    expect(refusal('dangling', { PATH: at('one') })).toMatchObject({ exitCode: 127 });
    expect(refusal('', { PATH: at('one') })).toMatchObject({ exitCode: 127 });
    expect(refusal('tool', { PATH: at('one') }).hint).not.toContain('npx');
  });

  test('is told as not executable when every match is: 126', () => {
    const error = refusal('plain', { PATH: at('one') });
    expect(error).toMatchObject({ code: 'COMMAND_NOT_EXECUTABLE', exitCode: 126 });
    expect(error.message).toContain(at('one', 'plain'));
    expect(error.hint).toContain('chmod +x');
  });

  test('hints at npx when npm installed it here or above', () => {
    const error = refusal('knex', { PATH: '/nowhere' }, at('project', 'packages', 'app'));
    expect(error.exitCode).toBe(127);
    expect(error.hint).toContain('npx knex');
    expect(error.hint).toContain(at('project', 'node_modules', '.bin'));
  });
});

describe('a name with a slash', () => {
  test('is taken as it is, from the given directory', () => {
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
