import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CELLS, NODE, POSTGRESQL } from './cells.mjs';
import { resultsOf, ROOT, testFiles } from './results.mjs';

export const DOCUMENT = 'docs/compatibility.md';
export const HEAD = [
  'Node.js',
  'PostgreSQL',
  'test files',
  'passed',
  'repeated',
  'skipped',
  'failed',
  'commit',
];

/** The rows of the table: only what ran has numbers. */
export function tableRows() {
  const all = testFiles().length;
  return CELLS.map(({ name, node, postgresql }) => {
    const results = [...resultsOf(name).values()];
    const versions = [NODE, POSTGRESQL].map((known, index) => {
      const key = /** @type {'node' | 'postgresql'} */ (['node', 'postgresql'][index]);
      const seen = new Set(results.map((result) => result[key]));
      const planned = Object.entries(known).find(
        ([major]) => Number(major) === [node, postgresql][index],
      )?.[1];
      return seen.size > 0 ? [...seen].join(', ') : (planned ?? '').replace(/\.0-beta.*/, '');
    });
    if (results.length === 0) return [...versions, 'not run', '', '', '', '', ''];
    /** @param {'passed' | 'skipped' | 'failed'} count */
    const sum = (count) => results.reduce((total, result) => total + result[count], 0);
    const repeated = results.filter(({ attempt, failed }) => attempt > 1 && failed === 0).length;
    const commits = [...new Set(results.map(({ commit }) => commit))];
    const ran = results.length === all ? `all ${all}` : `${results.length} of ${all}`;
    return [
      ...versions,
      ran,
      ...[sum('passed'), repeated, sum('skipped'), sum('failed')].map(String),
      commits.join(', '),
    ];
  });
}

/** A line for each failed test. */
export function failedTests() {
  return CELLS.flatMap(({ name, node, postgresql }) =>
    [...resultsOf(name).values()]
      .filter(({ failed }) => failed > 0)
      .flatMap(({ file, failures }) =>
        (failures.length > 0 ? failures : ['the file could not run']).map(
          (test) => `Node.js ${node}, PostgreSQL ${postgresql}: ${file}: ${test}`,
        ),
      ),
  );
}

export function writeDocument() {
  /** @param {string[]} cells */
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [HEAD, HEAD.map(() => '---'), ...tableRows()].map(line).join('\n');
  const failures = failedTests().map((failure) => `- ${failure}`);
  const listed = failures.length > 0 ? `\n## Failed tests\n\n${failures.join('\n')}\n` : '';
  writeFileSync(join(ROOT, DOCUMENT), `${TEXT.replace('TABLE', table)}${listed}`);
}

const TEXT = `<!-- Written by \`npm run test:matrix\` from the results of its runs. Do not change it by hand. -->

# Compatibility

Node.js 20 or later, PostgreSQL 12 or later. The integration tests were run with each version of PostgreSQL on the current LTS version of
Node.js, and with each version of Node.js on the newest PostgreSQL, on Linux (x64, glibc), by \`npm run test:matrix\`
([how](../CONTRIBUTING.md#the-matrix)).

TABLE

- **test files**: how many of the files ran to their end. \`not run\`: there is no result.
- **repeated**: files in which a test failed beside other files, and which passed when they were repeated alone.
- **skipped**: tests that need a program or a right that the machine does not have.
- **commit**: of the program and the tests; a plus sign means with changes that were not committed yet.

Other operating systems, other processors and musl are not part of this table. What was tested with poolers and proxies is in
[connecting.md](connecting.md#poolers).
`;
