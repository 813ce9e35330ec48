/** Compares the documents with the code. tests/integration/e2e/documents.long.test.ts runs their command lines. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { describeEvents, type EventSchema } from '../../scripts/describe-events.mjs';
import { runOptions } from '../../src/cli/commands/run.js';
import { connectionOptions } from '../../src/cli/options.js';
import type { OwnOption } from '../../src/cli/own-option.js';
import { createCommandLine } from '../../src/cli/command-line.js';
import type { ProcessContext } from '../../src/cli/process-context.js';
import { LIBPQ } from '../../src/db/settings/libpq-parameters.js';
import { EVENT_NAMES } from '../../src/events/events.js';
import { EXIT_CODES } from '../../src/exit-codes.js';
import { MigrationLock } from '../../src/index.js';
import { SELF_RECOVERING } from '../../src/recover/tools.js';
import { childTimes, marginMs } from '../../src/lock/lease-times.js';
import { CELLS } from '../matrix/cells.mjs';
import { HEAD } from '../matrix/document.mjs';
import { blocksOf, DOCUMENTS, plain, proseOf, readDocument, ROOT, tableOf } from '../support/documents.js';

const README = readDocument('README.md');
const OPTIONS = [...connectionOptions(), ...runOptions()];
const COMMANDS = createCommandLine({} as ProcessContext, () => undefined).commands;

describe('README', () => {
  test('has at most 150 lines', () => {
    expect(README.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });

  test('names two commands that are scripts of the package', () => {
    const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> };
    expect(README).toMatch(/^npm ci && npm run demo$/m);
    expect(README).toMatch(/^npm ci && npm test && npm run test:long$/m);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['build', 'demo', 'test']));
  });

  test('shows the command line in its first ten lines', () => {
    expect(README.split('\n').slice(0, 10).join('\n')).toContain('migrate-lock run -- knex migrate:latest');
  });

  test('lists ten options with their defaults', () => {
    const rows = tableOf('README.md', 'option', 'default', '').map((row) => row.map(plain));
    expect(rows).toHaveLength(10);
    const known = OPTIONS.map((option) => [flagOf(option, []), defaultOf(option)]);
    for (const [flag, byDefault] of rows) expect(known).toContainEqual([flag, byDefault]);
  });

  test('names every exit code', () => {
    const [paragraph = ''] = /^Exit codes: [\s\S]*?\n\n/m.exec(README) ?? [];
    const named = [...paragraph.matchAll(/`(\d+)`/g)].map(([, code]) => Number(code));
    const codes = Object.values(EXIT_CODES).map(({ code }) => code);
    expect(named.sort((a, b) => a - b)).toEqual(codes.sort((a, b) => a - b));
    expect(paragraph).toContain('`128+n`');
  });

  test('links the statement that grants the lease, and the function that sets when the command is ended', () => {
    const [, statement = ''] = /\[the one INSERT\]\((.*?)\)/.exec(README) ?? [];
    expect(readDocument(statement)).toMatch(
      /INSERT INTO [\s\S]*ON CONFLICT [\s\S]*WHERE lock\.expires_at <= /,
    );
    const [, times = ''] = /\[`childTimes\(\)`\]\((.*?)\)/.exec(README) ?? [];
    expect(readDocument(times)).toContain('function childTimes(');
  });
});

describe('the time that a command has with the defaults', () => {
  const { ttl, killGrace } = new Command().addOption(one('ttl')).addOption(one('kill-grace')).opts<{
    ttl: number;
    killGrace: number;
  }>();
  const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttl, killGrace);
  const margin = marginMs(ttl);
  const moments = [0, ttl - termBeforeEndMs, ttl - killBeforeEndMs, ttl - margin, ttl].map(inSeconds);

  test('is on the first screen of README', () => {
    const [first = ''] = README.split('\n## ');
    for (const beforeEndMs of [termBeforeEndMs, killBeforeEndMs]) {
      expect(first).toContain(inSeconds(ttl - beforeEndMs));
    }
  });

  test.each(['README.md', 'docs/protocol.md'])('matches the picture in %s', (path) => {
    const drawing = blocksOf(path).find(({ text }) => text.includes('SIGKILL'))?.text ?? '';
    const figures = [...drawing.matchAll(/(?<![=\d])(?<!grace )\b\d+(\.\d+)? s\b/g)].map(
      ([figure]) => figure,
    );
    expect([...new Set(figures)].sort()).toEqual([...moments].sort());
    for (const [figure] of drawing.matchAll(/(?<=grace )\d+ s/g)) expect(figure).toBe(inSeconds(killGrace));
    for (const [figure] of drawing.matchAll(/(?<=m=)\d+ s/g)) expect(figure).toBe(inSeconds(margin));
  });
});

describe('docs/recover.md', () => {
  /** Liquibase reads `update-count` and `updateCount`, the table of tools has `updatecount`. */
  const short = (name: string, anyCase: boolean) =>
    anyCase ? name.replaceAll('-', '') : name.replace(/^(migrate:|--)/, '');

  test('has the tools that recover by themselves, with their commands', () => {
    const rows = tableOf('docs/recover.md', 'tool', 'commands', 'its lock', 'recovery', 'source');
    expect(rows.map(([tool = '']) => tool.toLowerCase())).toEqual(SELF_RECOVERING.map(({ name }) => name));
    SELF_RECOVERING.forEach(({ commands, anyCase }, index) => {
      const documented = plain(rows[index]?.[1] ?? '').split(', ');
      expect(sorted(documented.map((name) => short(name, anyCase)))).toEqual(
        sorted([...commands.keys()].map((name) => short(name, anyCase))),
      );
    });
  });

  test('has the options that are passed on', () => {
    for (const { name, options, anyCase } of SELF_RECOVERING) {
      const item = proseOf('docs/recover.md')
        .split(/\n(?=- |\n)/)
        .find((text) => text.toLowerCase().startsWith(`- ${name}: \`--`));
      const documented = [...(item ?? '').matchAll(/`(--[\w-]+)`/g)].map(([, option = '']) => option);
      const known = [...options].filter(([, { connects }]) => connects).map(([option]) => option);
      expect(sorted(documented.map((option) => short(option, anyCase)))).toEqual(
        sorted(known.map((option) => short(option, anyCase))),
      );
    }
  });
});

describe('docs/cli.md', () => {
  test('has the exit codes of src/exit-codes.ts', () => {
    const [own, ...rows] = tableOf('docs/cli.md', 'code', 'meaning');
    const last = rows.pop();
    expect(own?.[0]).toBe("the command's");
    expect(rows).toEqual(Object.values(EXIT_CODES).map(({ code, meaning }) => [String(code), meaning]));
    expect(last?.[0]).toBe('128+n');
  });

  test('has the options of run: flags, choices, variables, defaults', () => {
    const rows = tableOf('docs/cli.md', 'option', 'environment', 'default', '').map((row) => row.map(plain));
    const documented = rows.map(([flags = '', variable, byDefault]) => [flags, variable, byDefault]);
    const known = OPTIONS.map((option) => {
      // The choices are written as the option's value, or are explained one by one.
      const about = rows.find(([flags = '']) => flags.split(' ')[0] === option.long)?.at(-1) ?? '';
      const choices = option.argChoices ?? [];
      const areExplained = choices.length > 0 && choices.every((choice) => about.includes(choice));
      return [flagOf(option, areExplained ? [] : choices), option.variable ?? '', defaultOf(option)];
    });
    expect(sorted(documented)).toEqual(sorted(known));
  });

  test('has every command', () => {
    const documented = tableOf('docs/cli.md', 'command', 'what it does').map(([name = '']) => plain(name));
    expect(sorted(documented)).toEqual(sorted(COMMANDS.map((command) => command.name()).filter(isShown)));
  });

  test('has the variables that the command gets', () => {
    const documented = tableOf('docs/cli.md', 'variable', '').map(([name = '']) => plain(name));
    const sources = [
      'src/run/child-environment.ts',
      'src/run/holder/socket-list.ts',
      'src/child/instance-mark.ts',
    ];
    const set = sources.flatMap(
      (path) => readDocument(path).match(/\b(MIGRATE_LOCK_[A-Z_]+|PGAPPNAME)\b/g) ?? [],
    );
    expect(sorted(documented)).toEqual(sorted([...new Set(set)]));
  });
});

describe('the options of the other commands', () => {
  const COMMON = ['--database-url', '--database-url-file', '--schema', '--quiet'];

  test.each([
    ['extend', 'docs/cli.md', ['option of `extend`', '']],
    ['wait', 'docs/once.md', ['option of `wait`', 'default', '']],
    ['status', 'docs/operations.md', ['option of `status`', '']],
    ['doctor', 'docs/operations.md', ['option of `doctor`', '']],
    ['history', 'docs/operations.md', ['option of `history`', 'default', '']],
    ['unlock', 'docs/operations.md', ['option of `unlock`', '']],
    ['cleanup', 'docs/operations.md', ['option of `cleanup`', '']],
    ['init', 'docs/hardening.md', ['option of `init`', '']],
  ])('%s: in %s', (name, path, head) => {
    const options = COMMANDS.find((command) => command.name() === name)?.options ?? [];
    // doctor has the options of run for the command that it runs.
    const others = name === 'doctor' ? OPTIONS.map(({ long }) => long ?? '') : COMMON;
    const own = options.filter(({ long }) => name === 'extend' || !others.includes(long ?? ''));
    const documented = tableOf(path, ...head).map(([flags = '']) => plain(flags));
    expect(sorted(documented)).toEqual(sorted(own.map((option) => flagOf(option, []))));
  });

  test('every command that connects has the connection options', () => {
    for (const command of COMMANDS.filter((known) => isShown(known.name()) && known.name() !== 'extend')) {
      expect(command.options.map(({ long }) => long)).toEqual(expect.arrayContaining(COMMON));
    }
  });
});

test('docs/events.md is generated from the schema, and has every event', () => {
  const schema = JSON.parse(readDocument('src/events/event.schema.json')) as EventSchema;
  const current = readDocument('docs/events.md');
  expect(current).toBe(describeEvents(schema, current));
  const documented = tableOf('docs/events.md', 'event', 'when', 'its own fields').map(([name = '']) =>
    plain(name),
  );
  expect(sorted(documented)).toEqual(sorted([...EVENT_NAMES]));
});

test('docs/compatibility.md has every cell of the matrix, and numbers only for what ran', () => {
  const rows = tableOf('docs/compatibility.md', ...HEAD);
  const major = (version = '') => Number(version.split('.')[0]);
  expect(rows.map(([node, postgresql]) => [major(node), major(postgresql)])).toEqual(
    CELLS.map(({ node, postgresql }) => [node, postgresql]),
  );
  for (const [, , files = '', ...numbers] of rows) {
    const ran = /^(all )?\d/.test(files);
    expect([files, numbers.map((cell) => cell !== '')]).toEqual([
      ran ? files : 'not run',
      numbers.map(() => ran),
    ]);
  }
});

test('docs/connecting.md has every parameter of libpq', () => {
  const named = tableOf('docs/connecting.md', 'parameter', '').flatMap(([names = '']) =>
    plain(names).split(', '),
  );
  // Parameters of other drivers, explained in the text.
  const others = ['database', 'ssl', 'sslaccept', 'targetservertype', 'servicefile'];
  expect(sorted(named)).toEqual(sorted([...LIBPQ.keys()].filter((name) => !others.includes(name))));
});

describe('docs/library.md', () => {
  const text = readDocument('docs/library.md');

  test('has everything that the package exports', () => {
    const exported = [...readDocument('src/index.ts').matchAll(/export (?:type )?\{([^}]*)\}/g)]
      .flatMap(([, names = '']) => names.split(','))
      .map((name) => name.replace(/\btype\b/, '').trim());
    expect(exported.length).toBeGreaterThan(10);
    expect(exported.filter((name) => !new RegExp(`\`[^\`]*\\b${name}\\b[^\`]*\``).test(text))).toEqual([]);
  });

  test('has the members of MigrationLock, of its options, and of WorkContext', () => {
    const options = fieldsOf('src/library/migration-lock-options.ts', 'MigrationLockOptions');
    expect(membersOf('MigrationLockOptions')).toEqual(options);
    expect(membersOf('WorkContext')).toEqual(fieldsOf('src/library/with-migration-lock.ts', 'WorkContext'));
    const members = Object.getOwnPropertyNames(MigrationLock.prototype).filter(
      (name) => name !== 'constructor',
    );
    expect(sorted(membersOf('MigrationLock'))).toEqual(sorted(members));
  });

  test('explains everything: each has its docstring', () => {
    expect(text.match(/^\| `.*\| \|$/gm) ?? []).toEqual([]);
  });

  const membersOf = (type: string) =>
    tableOf('docs/library.md', `member of \`${type}\``, 'type', '').map(([name = '']) =>
      plain(name).replace(/\(.*|\?$/, ''),
    );
  const fieldsOf = (path: string, type: string) => {
    const [, body = ''] =
      new RegExp(`interface ${type} \\{([\\s\\S]*?)\\n\\}`).exec(readDocument(path)) ?? [];
    return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name);
  };
});

describe('the references in the documents', () => {
  test('links point to existing files and headings', () => {
    const broken: string[] = [];
    for (const path of DOCUMENTS) {
      for (const [, target = ''] of proseOf(path).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (target.startsWith('https://')) continue;
        const [file = '', anchor] = target.split('#');
        const there = file === '' ? path : join(dirname(path), file);
        const isThere = existsSync(join(ROOT, there));
        if (!isThere || (anchor !== undefined && !anchorsOf(there).includes(anchor)))
          broken.push(`${path}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test('named tests exist', () => {
    const tests = readdirSync(join(ROOT, 'tests'), { recursive: true, encoding: 'utf8' });
    const named = DOCUMENTS.flatMap((path) => [
      ...readDocument(path).matchAll(/\btests\/([\w/.-]*[\w-])(\*?)/g),
    ]);
    expect(named.length).toBeGreaterThan(30);
    const missing = named.filter(
      ([, path = '', star]) =>
        !tests.some((name) =>
          star === '*'
            ? name.startsWith(path)
            : [path, `${path}.test.ts`, `${path}.long.test.ts`].includes(name),
        ),
    );
    expect(missing.map(([text]) => text)).toEqual([]);
  });

  test('named commands and options exist', () => {
    const unknown: string[] = [];
    for (const path of DOCUMENTS) {
      for (const [span, name, options = ''] of readDocument(path).matchAll(
        /(?<=`)migrate-lock ([a-z]+)((?: (?!-- )[^`\s]+)*)/g,
      )) {
        const command = COMMANDS.find((known) => known.name() === name);
        const known = ['--help', ...(command?.options.map(({ long }) => long) ?? [])];
        const named = options.match(/(?<=\s)--[a-z-]+/g) ?? [];
        if (command === undefined || !named.every((option) => known.includes(option)))
          unknown.push(`${path}: ${span}`);
      }
    }
    expect(unknown).toEqual([]);
  });
});

/** The anchors that GitHub makes of the headings. */
function anchorsOf(path: string): string[] {
  const headings = proseOf(path).matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

function isShown(name: string): boolean {
  return !['help', 'release-after-crash', 'guard'].includes(name);
}

function inSeconds(ms: number): string {
  return `${ms / 1000} s`;
}

function one(name: string): OwnOption {
  const found = OPTIONS.find((option) => option.name() === name);
  if (found === undefined) throw new Error(`there is no option --${name}`);
  return found;
}

/** `--ttl DURATION`, `--child-stdout stderr|stdout`, `--quiet`. */
function flagOf({ flags }: { flags: string }, choices: readonly string[]): string {
  const [long = '', value] = flags.split(' ');
  if (choices.length > 0) return `${long} ${choices.join('|')}`;
  return value === undefined ? long : `${long} ${value.replace(/[<>]/g, '').toUpperCase()}`;
}

/** The default as a document writes it; one that depends on the environment is in the option's description. */
function defaultOf(option: OwnOption): string {
  const fromEnvironment = /; default (\w+)/.exec(option.description)?.[1] ?? '';
  const byDefault = (option.defaultValueDescription ?? option.defaultValue ?? fromEnvironment) as
    string | number | boolean;
  return typeof byDefault === 'boolean' ? '' : String(byDefault);
}

function sorted<T>(rows: readonly T[]): T[] {
  return [...rows].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
