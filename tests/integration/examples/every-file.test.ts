/** Every file in examples/ is run or validated by a test. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { ROOT } from '../../support/documents.js';
import { FILES } from './examples.js';

/** Which test runs or validates which files. */
const COVERED: readonly [test: string, files: RegExp][] = [
  ['tests/integration/e2e/demo.test.ts', /^demo(\.mjs|\/[a-z-]+\.mjs)$/],
  ['tests/integration/e2e/tools.long.test.ts', /^knex\/(knexfile\.js|migrations\/\w+\.js)$/],
  [
    'tests/integration/e2e/tools.long.test.ts',
    /^drizzle\/(migrate\.mjs|drizzle\/(\w+\.sql|meta\/_journal\.json))$/,
  ],
  ['tests/integration/e2e/tools.long.test.ts', /^umzug\/(migrate|migration-table|migrations\/\w+)\.mjs$/],
  ['tests/integration/e2e/tools.long.test.ts', /^node-pg-migrate\/migrations\/[\w-]+\.sql$/],
  ['tests/integration/e2e/checks.long.test.ts', /^(knex|drizzle|node-pg-migrate)\/pending\.mjs$/],
  ['tests/integration/metrics/metrics-file.test.ts', /^node-exporter\/migrate-lock\.rules\.yml$/],
  ['tests/integration/examples/commands.long.test.ts', /^[\w-]+\/README\.md$/],
  ['tests/integration/examples/kubernetes.test.ts', /^kubernetes\/[\w-]+\.yaml$/],
  ['tests/integration/examples/kubernetes.test.ts', /^helm\/(values|templates\/\w+)\.yaml$/],
  ['tests/integration/examples/commands.long.test.ts', /^helm\/Chart\.yaml$/],
  ['tests/integration/examples/others.test.ts', /^compose\/compose\.yaml$/],
  ['tests/integration/examples/others.test.ts', /^github-actions\/[\w-]+\.yml$/],
  ['tests/integration/examples/others.test.ts', /^gitlab\/\.gitlab-ci\.yml$/],
  ['tests/integration/examples/others.test.ts', /^systemd\/app\.service$/],
  [
    'tests/integration/examples/entrypoint.test.ts',
    /^entrypoint\/(migrate|migrate-then-serve|wait-then-serve)\.sh$/,
  ],
];

test('each has a test', () => {
  expect(FILES.length).toBeGreaterThan(30);
  expect(FILES.filter((file) => !COVERED.some(([, files]) => files.test(file)))).toEqual([]);
});

test.each(COVERED)('%s is there, and so are its files', (path, files) => {
  expect(existsSync(join(ROOT, path))).toBe(true);
  expect(readFileSync(join(ROOT, path), 'utf8')).toMatch(/examples/);
  expect(FILES.filter((file) => files.test(file)).length).toBeGreaterThan(0);
});
