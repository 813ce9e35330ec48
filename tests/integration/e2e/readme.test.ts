import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { connectionOptions, runOptions } from '../../../src/cli/options.js';
import type { OwnOption } from '../../../src/cli/own-option.js';
import { EVENT_NAMES, OUTCOMES } from '../../../src/events/events.js';
import { EXIT_CODES } from '../../../src/exit-codes.js';
import { marginMs } from '../../../src/lock/lease-times.js';
import { childTimes } from '../../../src/lock/lease-times.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { runCli } from '../../support/run-cli.js';

const README = read('README.md');
const OPTIONS = [...connectionOptions(), ...runOptions()];

interface AuditSchema {
  properties: Record<string, unknown>;
  $defs: Record<string, { properties: Record<string, unknown> }>;
}
const SCHEMA = JSON.parse(read('src/events/event.schema.json')) as AuditSchema;

describe('README', () => {
  test('names the two commands, which are scripts of the package', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(README).toMatch(/^ {4}npm ci && npm run demo$/m);
    expect(README).toMatch(/^ {4}npm ci && npm test$/m);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['build', 'demo', 'test']));
  });

  test('opens with what it is and the one line that uses it', () => {
    expect(README.split('\n').slice(0, 6)).toContain('    migrate-lock run -- knex migrate:latest');
  });

  test('the table of exit codes is that of src/exit-codes.ts', () => {
    const [childs, ...rows] = table('code', 'meaning');
    const last = rows.pop();
    expect(childs?.[0]).toBe("the command's");
    expect(rows).toEqual(Object.values(EXIT_CODES).map(({ code, meaning }) => [String(code), meaning]));
    expect(last?.[0]).toBe('128+n');
  });

  test('the table of options is that of the command line: flags, choices, variables, defaults', () => {
    const rows = table('option', 'environment', 'default', '').map((row) => row.map(plain));
    const documented = rows.map(([flags = '', variable, byDefault]) => [flags, variable, byDefault]);
    const shortOf = ([flags = '']: string[]) => flags.split(' ')[0];
    const known = OPTIONS.map((option) => {
      // The choices stand in the place of the value, or are explained one by one.
      const about = rows.find((row) => shortOf(row) === option.long)?.at(-1) ?? '';
      const choices = option.argChoices ?? [];
      const areExplained = choices.length > 0 && choices.every((choice) => about.includes(choice));
      return [
        areExplained ? flagOf(option, []) : flagOf(option, choices),
        option.variable ?? '',
        defaultOf(option),
      ];
    });
    expect(sorted(documented)).toEqual(sorted(known));
  });

  test('the table of events is that of the JSON Schema: names, and the fields of each', () => {
    const documented = table('event', 'when', 'its own fields').map(([name = '', , fields = '']) => ({
      event: plain(name),
      fields: fieldsIn(fields),
    }));
    const published = EVENT_NAMES.map((event) => ({ event, fields: fieldsOf(event) }));
    expect(sorted(documented)).toEqual(sorted(published));
  });

  test('every outcome is named', () => {
    const [paragraph = ''] = /^`outcome` is [\s\S]*?\n\n/m.exec(README) ?? [];
    for (const outcome of OUTCOMES) expect(paragraph).toContain(`\`${outcome}\``);
  });

  test('the sample of an audit line is one', () => {
    const samples = README.match(/(?<=^ {4})\{"v":.*$/gm) ?? [];
    expect(samples).toHaveLength(1);
    for (const sample of samples) expect(parseAuditLine(sample)).toHaveProperty('event');
  });
});

describe('--help', () => {
  let program: string;
  let run: string;

  beforeAll(async () => {
    [program, run] = await Promise.all([help('--help'), help('run', '--help')]);
  });

  test('has every exit code with its meaning', () => {
    for (const { code, meaning } of Object.values(EXIT_CODES)) {
      expect(program).toMatch(new RegExp(`^ +${code} +${escaped(meaning)}$`, 'm'));
    }
    expect(program).toMatch(/^ +128\+n /m);
  });

  test('has every option with its variable and its default', () => {
    for (const option of OPTIONS) {
      const [, entry = ''] =
        new RegExp(`^  ${escaped(option.flags)} ([\\s\\S]*?)(?=^  -|^$)`, 'm').exec(run) ?? [];
      const text = entry.replace(/\s+/g, ' ');
      expect(text).toContain(option.description);
      expect(text).toContain(`env: ${option.variable ?? '?'}`);
      expect(text).toContain(defaultOf(option));
    }
  });

  test('names the commands, and README has them all', () => {
    const commands = [...program.matchAll(/^ {2}([a-z]\w*)(?: .*?)? {2,}/gm)].map(([, name = '']) => name);
    expect(commands).toEqual(expect.arrayContaining(['run', 'init']));
    const missing = commands.filter((name) => name !== 'help' && !README.includes(`migrate-lock ${name}`));
    expect(missing).toEqual([]);
  });
});

describe('the time that a command has with the defaults', () => {
  const { ttl, killGrace } = new Command().addOption(one('ttl')).addOption(one('kill-grace')).opts<{
    ttl: number;
    killGrace: number;
  }>();
  const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttl, killGrace);

  test('is said by --help, and by README on its first screen', async () => {
    const text = await help('run', '--help');
    for (const beforeEndMs of [termBeforeEndMs, killBeforeEndMs]) {
      const told = inSeconds(ttl - beforeEndMs);
      expect(text).toContain(told);
      expect(README.split('\n## ')[0]).toContain(told);
    }
  });

  test('is that of the picture of the lease, and of its description for those who do not see it', () => {
    const [, description = '', path = ''] = /!\[([^\]]*)\]\((.*\.svg)\)/.exec(README) ?? [];
    const svg = read(path);
    const margin = marginMs(ttl);
    const moments = [ttl - termBeforeEndMs, ttl - killBeforeEndMs, ttl - margin, ttl].map(inSeconds);
    expect(textsOf(svg, 'time')).toEqual([inSeconds(0), ...moments]);
    expect(textsOf(svg, 'span')).toEqual([
      `kill grace ${inSeconds(killGrace)}`,
      ...Array.from({ length: 2 }, () => `m = ${inSeconds(margin)}`),
    ]);
    for (const told of [...moments, inSeconds(killGrace)]) expect(description).toContain(told);
    expect(README).toContain(`margin m = ${inSeconds(margin)}`);
    // Every other figure that it names.
    for (const text of [...textsOf(svg), /<desc[^>]*>(.*)<\/desc>/.exec(svg)?.[1] ?? '']) {
      const known = [...moments, inSeconds(0), inSeconds(killGrace), inSeconds(margin)];
      expect(known).toEqual(expect.arrayContaining(text.match(/\d+(\.\d+)? s\b/g) ?? []));
    }
  });
});

/** The texts of a picture from top to bottom, those of one class only. */
function textsOf(svg: string, name = ''): string[] {
  const texts = [...svg.matchAll(/<text class="([^"]*)"[^>]*>([^<]*)<\/text>/g)];
  const found = texts.filter(([, classes = '']) => name === '' || classes.split(' ').includes(name));
  return found.map(([, , text = '']) => text);
}

const inSeconds = (ms: number) => `${ms / 1000} s`;

async function help(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(args, { auditOnly: false });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

function one(name: string): OwnOption {
  const found = OPTIONS.find((option) => option.name() === name);
  if (found === undefined) throw new Error(`there is no option --${name}`);
  return found;
}

/** `--ttl DURATION`, `--child-stdout stderr|stdout`, `--quiet`. */
function flagOf(option: OwnOption, choices: readonly string[]): string {
  const [long = '', value] = option.flags.split(' ');
  if (choices.length > 0) return `${long} ${choices.join('|')}`;
  return value === undefined ? long : `${long} ${value.replace(/[<>]/g, '').toUpperCase()}`;
}

/** As people write it; what depends on the surroundings stands in the option's description. */
function defaultOf(option: OwnOption): string {
  const fromSurroundings = /; default (\w+)/.exec(option.description)?.[1] ?? '';
  const byDefault = (option.defaultValueDescription ?? option.defaultValue ?? fromSurroundings) as
    string | number | boolean;
  return byDefault === false ? '' : String(byDefault);
}

/** The fields of an event that are not common to all. */
function fieldsOf(event: string): string[] {
  const own = Object.keys(SCHEMA.$defs[event]?.properties ?? {});
  return own.filter((field) => !(field in SCHEMA.properties)).sort();
}

/** The fields that a cell of README names; the name of another event stands for that one's. */
function fieldsIn(cell: string): string[] {
  const named = [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
  const events: readonly string[] = EVENT_NAMES;
  return named.flatMap((name) => (events.includes(name) ? fieldsOf(name) : [name])).sort();
}

/** The rows of the one table of README with this head. */
function table(...head: string[]): string[][] {
  const lines = README.split('\n');
  const tables = lines.flatMap((line, at) =>
    cells(line).join('|') === head.join('|') ? [lines.slice(at + 2, lines.indexOf('', at))] : [],
  );
  expect(tables).toHaveLength(1);
  return (tables[0] ?? []).map(cells);
}

function cells(line: string): string[] {
  if (!line.startsWith('|')) return [];
  const parts = line.split(/(?<!\\)\|/).slice(1, -1);
  return parts.map((part) => part.trim().replaceAll('\\|', '|'));
}

const plain = (cell: string) => cell.replaceAll('`', '');

function sorted<T>(rows: T[]): T[] {
  return [...rows].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function read(path: string): string {
  return readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
}
