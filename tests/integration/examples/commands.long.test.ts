/** Runs the command lines of the examples, each on a database of its own, and reads what is beside them. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  existsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { blocksOf, ROOT } from '../../support/documents.js';
import { assertNothingLeft, CLI, NODE, type CliResult } from '../../support/run-cli.js';
import { execute } from '../e2e/installed-package.js';
import { containersOf, EXAMPLES, FILES, KUBERNETES, readExample, wordsOf } from './examples.js';

const GIT_SHA = '3f2a9c1';
let db: TestDatabase;
/** A copy of an example, with the programs that it calls. */
let project: string;

beforeEach(async () => {
  db = await createDatabase();
  project = mkdtempSync(join(tmpdir(), 'migrate-lock-examples-'));
});

afterEach(async () => {
  rmSync(project, { recursive: true });
  await db.drop();
  await assertNothingLeft();
});

interface Starter {
  file: string;
  /** The command, as words or as a line for a shell. */
  command: string[] | string;
}

interface Workflow {
  jobs: Record<string, { steps: { run?: string }[] }>;
}

const compose = parse(readExample('compose/compose.yaml')) as {
  services: Record<string, { command?: string[] }>;
};
const workflow = parse(readExample('github-actions/migrate.yml')) as Workflow;
const gitlab = parse(readExample('gitlab/.gitlab-ci.yml')) as { migrate: { script: string[] } };
const [, execStartPre = ''] = /^ExecStartPre=\S+\/(.*)$/m.exec(readExample('systemd/app.service')) ?? [];

const STARTERS: Starter[] = [
  ...KUBERNETES.flatMap(({ path, object }) =>
    containersOf(object).map((container) => ({ file: path, command: wordsOf(container) })),
  ),
  ...Object.values(compose.services).flatMap(({ command }) =>
    command === undefined ? [] : [{ file: 'compose/compose.yaml', command }],
  ),
  ...Object.values(workflow.jobs)
    .flatMap(({ steps }) => steps.flatMap(({ run = [] }) => run))
    .map((command) => ({ file: 'github-actions/migrate.yml', command })),
  ...gitlab.migrate.script.map((command) => ({ file: 'gitlab/.gitlab-ci.yml', command })),
  // `${NAME}` is one word, as systemd reads it.
  { file: 'systemd/app.service', command: execStartPre.replaceAll('${GIT_SHA}', GIT_SHA).split(' ') },
].filter(({ command }) => /^(migrate-lock |exec )/.test([command].flat().join(' ')));

test('every kind of example starts migrate-lock', () => {
  const kinds = ['compose', 'github-actions', 'gitlab', 'helm', 'kubernetes', 'systemd'];
  expect([...new Set(STARTERS.map(({ file }) => file.split('/')[0]))].sort()).toEqual(kinds);
});

test.each(STARTERS)('$file: $command', async ({ command }) => {
  layOut('knex');
  const words = typeof command === 'string' ? ['sh', '-e', '-c', command] : command;
  // The containers of an application wait for what a Job has done.
  if (words[1] === 'wait')
    expectSuccess(await start(['migrate-lock', 'run', '--once', GIT_SHA, '--', 'knex', 'migrate:latest']));
  expectSuccess(await start(words));
  expect(await db.sql`SELECT FROM knex_migrations`).toHaveLength(3);
});

describe('READMEs', () => {
  const readmes = FILES.filter((path) => path.endsWith('/README.md'));

  test('every folder has one, and it is short', () => {
    const folders = readdirSync(EXAMPLES).filter((name) => !name.includes('.') && name !== 'demo');
    expect(readmes.map(dirname)).toEqual(folders.sort());
    const lengths = readmes.map((path) => [path, readExample(path).split('\n').length] as const);
    expect(lengths.filter(([path, lines]) => lines > 20 && !path.startsWith('node-exporter'))).toEqual([]);
  });

  test.each(readmes)('%s: its links lead somewhere', (path) => {
    const links = [...readExample(path).matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)].map(
      ([, target = '']) => target,
    );
    const broken = links.filter(
      (target) => !target.startsWith('https://') && !existsSync(join(EXAMPLES, dirname(path), target)),
    );
    expect(broken).toEqual([]);
  });

  const blocks = readmes.flatMap((path) =>
    blocksOf(`examples/${path}`).filter(({ language }) => language === 'sh'),
  );

  test.each(blocks.filter(({ marks }) => marks['not run'] === undefined))(
    '$place',
    async ({ place, text }) => {
      layOut(place.split('/')[1] ?? '');
      expectSuccess(await start(['sh', '-e', '-c', text]));
      const applied = await db.sql`
      SELECT FROM pg_tables WHERE tablename ~ '(knex|drizzle|umzug)_migrations$|^pgmigrations$'`;
      expect(applied).not.toHaveLength(0);
    },
  );
});

test('helm/Chart.yaml has what a chart must have', () => {
  expect(parse(readExample('helm/Chart.yaml'))).toMatchObject({
    apiVersion: 'v2',
    name: expect.stringMatching(/^[a-z-]+$/),
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    type: 'application',
    appVersion: (parse(readExample('helm/values.yaml')) as { commit: string }).commit,
  });
});

/** The example, its packages, and the programs in its PATH. */
function layOut(example: string): void {
  cpSync(join(EXAMPLES, example), project, { recursive: true });
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(project, 'server.js'), '');
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((one) => !one.startsWith('.')))
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  const program = (name: string, script: string) =>
    writeFileSync(join(modules, '.bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  program('migrate-lock', `exec '${NODE}' '${CLI}' "$@"`);
  program('npx', 'exec "$@"');
  for (const [name, script] of [
    ['knex', 'knex/bin/cli.js'],
    ['node-pg-migrate', 'node-pg-migrate/bin/node-pg-migrate.js'],
  ] as const)
    program(name, `exec '${process.execPath}' 'node_modules/${script}' "$@"`);
}

function start(words: string[]): Promise<CliResult> {
  const path = [join(project, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  return execute(words, project, { PATH: path, DATABASE_URL: db.url, GIT_SHA, CI_COMMIT_SHA: GIT_SHA });
}

function expectSuccess({ code, stderr }: CliResult): void {
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
}
