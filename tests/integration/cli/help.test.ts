import { beforeAll, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { runOptions } from '../../../src/cli/commands/run.js';
import { waitOptions } from '../../../src/cli/commands/wait.js';
import { connectionOptions } from '../../../src/cli/options.js';
import { EXIT_CODES } from '../../../src/exit-codes.js';
import { childTimes } from '../../../src/lock/lease-times.js';
import { runCli } from '../../support/run-cli.js';

const OPTIONS = [...connectionOptions(), ...runOptions()];
let program: string;
let run: string;
let wait: string;

beforeAll(async () => {
  [program, run, wait] = await Promise.all([help('--help'), help('run', '--help'), help('wait', '--help')]);
});

test('--help lists every exit code with its meaning', () => {
  for (const { code, meaning } of Object.values(EXIT_CODES)) {
    expect(program).toMatch(new RegExp(`^ +${code} +${escaped(meaning)}$`, 'm'));
  }
  expect(program).toMatch(/^ +128\+n /m);
});

test.each([
  ['run', OPTIONS, () => run],
  ['wait', [...connectionOptions(), ...waitOptions()], () => wait],
] as const)('%s --help lists every option with its variable and its default', (_, options, textOf) => {
  for (const option of options) {
    const [, entry = ''] =
      new RegExp(`^  ${escaped(option.flags)} ([\\s\\S]*?)(?=^  -|^$)`, 'm').exec(textOf()) ?? [];
    const text = entry.replace(/\s+/g, ' ');
    expect(text).toContain(option.description);
    expect(text).toContain(`env: ${option.variable ?? '?'}`);
    const byDefault = (option.defaultValueDescription ?? option.defaultValue ?? '') as
      string | number | boolean;
    if (typeof byDefault !== 'boolean') expect(text).toContain(String(byDefault));
  }
});

test('run --help states how much time a command has with the defaults', () => {
  const command = new Command();
  for (const option of OPTIONS) command.addOption(option);
  const { ttl, killGrace } = command.opts<{ ttl: number; killGrace: number }>();
  const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttl, killGrace);
  for (const beforeEndMs of [termBeforeEndMs, killBeforeEndMs]) {
    expect(run).toContain(`${(ttl - beforeEndMs) / 1000} s`);
  }
});

async function help(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(args, { auditOnly: false });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
