/** Compares docs/tools.md with the tools that tests/tools runs. */
import { describe, expect, test } from '@jest/globals';
import { readDocument } from '../support/documents.js';

const ASKED = [
  ...[
    'knex',
    'Drizzle',
    'TypeORM',
    'Sequelize',
    'node-pg-migrate',
    'Prisma',
    'Kysely',
    'umzug',
    'graphile-migrate',
  ],
  ...['Alembic', 'Django', 'Flyway', 'Liquibase', 'golang-migrate', 'goose', 'dbmate', 'sqitch', 'Rails'],
];
const [, ...sections] = readDocument('docs/tools.md').split(/^## /m);
const SECTIONS = sections.map((text) => ({ name: text.split('\n')[0] ?? '', text }));
const RUN_BY_TOOLS = [...readDocument('tests/tools/layouts.ts').matchAll(/^ {4}name: '([\w-]+)',$/gm)].map(
  ([, name]) => name,
);

test('has a section for each tool', () => {
  expect(SECTIONS.map(({ name }) => name)).toEqual(ASKED);
});

describe.each(SECTIONS)('$name', ({ name, text }) => {
  test('says the line, and everything that the head of the document promises', () => {
    expect(text).toMatch(/^```sh\nmigrate-lock run .*-- \S+/m);
    const items = [...text.matchAll(/^- \*\*([\w ]+)\*\*: \S/gm)].map(([, item]) => item);
    expect(items).toEqual(['Name', 'Own lock', 'After a kill', 'Check', 'Test']);
  });

  test('gives the URL to every call of a tool that gets it as an argument', () => {
    const [, url = ''] = /^```sh\n[^`]*(\$(?:JDBC|DATABASE)_URL)/m.exec(text) ?? [];
    const [, check = ''] = /\*\*Check\*\*: `([^`]+)`/.exec(text) ?? [];
    const [, recover = check] = /--recover '([^']+)'/.exec(text) ?? [];
    for (const line of [check, recover]) expect(line).toContain(url);
  });

  test('says whether a test runs it', () => {
    const [, said = ''] = /\*\*Test\*\*: ([\s\S]*)$/.exec(text) ?? [];
    expect(said.startsWith('five at once')).toBe(RUN_BY_TOOLS.includes(name));
    if (!said.startsWith('five at once')) expect(said).toMatch(/^(20 at once|none here|not with )/);
  });
});
