import { writeFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { versions } from './contenders.mjs';
import { amount, verdict } from './findings.mjs';

const RESULTS = fileURLToPath(new URL('./RESULTS.md', import.meta.url));

/** @typedef {import('./findings.mjs').Finding} Finding */

/** @returns {string[]} */
export function describeMachine() {
  const [cpu] = cpus();
  return [
    `${cpus().length} x ${cpu?.model.trim() || arch()}, ${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `${type()} ${release()} (${arch()}), load when it began: ${loadavg()[0]?.toFixed(2)}`,
  ];
}

/** @param {readonly Finding[]} findings */
export function printTable(findings) {
  for (const finding of findings) {
    const bounds = [
      finding.must === undefined ? [] : [`must ${amount(finding.must, finding.unit)}`],
      finding.aim === undefined ? [] : [`aim ${amount(finding.aim, finding.unit)}`],
    ].flat();
    console.log(`  ${finding.what}`);
    console.log(
      `    ${amount(finding.value, finding.unit)} (${finding.spread})  ${bounds.join(', ')}  ${verdict(finding)}`,
    );
    console.log(`    ${finding.from}`);
  }
}

/**
 * @param {{ machine: readonly string[], postgres: string, findings: readonly Finding[], remarks: readonly string[] }} run
 */
export function writeResults({ machine, postgres, findings, remarks }) {
  const lines = [
    '# Measured',
    '',
    'Written by `npm run bench`, never by hand. Ratios, and whatever stands beside a peer, are of one run on one server,',
    'the rounds interleaved (ours, theirs, ours, ...); below 1 ours is faster. The spread is the quartiles of the rounds.',
    '',
    '![100 starts in the same second, one row a process](storm.svg)',
    '',
    '![What a write takes while an ALTER TABLE waits, without and with --max-block](max-block.svg)',
    '',
    '## Where, with what',
    '',
    ...machine.map((line) => `- ${line}`),
    ...Object.entries({ 'Node.js': process.version, PostgreSQL: postgres, ...versions() }).map(
      ([name, version]) => `- ${name} ${version}`,
    ),
    `- ${new Date().toISOString().slice(0, 10)}`,
    '',
    'The server is the one of the tests, on the same machine, over TCP with scram passwords, with `fsync = on`: ours writes',
    'its lease and waits for the disk, an advisory lock writes nothing.',
    '',
    '    npm ci && npm run bench                        # everything, and this file',
    '    npm ci && npm run bench -- start-up handover   # some rows, printed only',
    '',
    '## Figures',
    '',
    '| what | measured | spread | must | aim | | made of |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...findings.map(row),
    '',
    ...(remarks.length === 0 ? [] : ['## Remarks', '', ...remarks.map((remark) => `- ${remark}`), '']),
  ];
  writeFileSync(RESULTS, lines.join('\n'));
}

/** @param {Finding} finding */
function row(finding) {
  const { what, value, unit, spread, must, aim, from } = finding;
  const bounds = [must, aim].map((bound) => (bound === undefined ? '' : amount(bound, unit)));
  return `| ${[what, amount(value, unit), spread, ...bounds, verdict(finding), from].join(' | ')} |`;
}
