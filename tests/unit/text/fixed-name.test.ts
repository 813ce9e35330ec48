import { describe, expect, test } from '@jest/globals';
import { findUnexpanded } from '../../../src/text/fixed-name.js';
import { checkRunKey } from '../../../src/lock/run-key.js';
import { MigrationLock } from '../../../src/index.js';
import { checkSchemaName } from '../../../src/schema/schema-name.js';
import { processorTimeMs } from '../../support/processor-time.js';

/** Values with a variable that was not expanded. */
const UNEXPANDED = [
  ...[
    '$(GIT_SHA)',
    'app-${GIT_SHA}',
    '$GIT_SHA',
    'app-$GIT_SHA',
    '${GIT_SHA:-}',
    'x$1',
    '$@',
    '$(cat version',
  ],
  ...['{{ .Values.tag }}', 'web-{{tag}}', '{% tag %}', '{{', '{sha}', '#{Octopus.Release.Number}'],
  ...[
    '%GIT_SHA%',
    '%build.number%',
    '%(sha)s',
    '%{sha}',
    '<no value>',
    '<nil>',
    'app-<commit>',
    '[object Object]',
  ],
  ...['$CI_COMMIT_SHA', '$(Build.SourceVersion)', '$[variables.sha]', '${{ github.sha }}', '$env:GIT_SHA'],
  ...['@GIT_SHA@', '`git rev-parse HEAD`', '!GIT_SHA!', '((git-sha))'],
];
const BROKEN = [
  ...[
    ' ',
    '\t\n',
    '\u00a0',
    'web-',
    'web_',
    'web:',
    'web/',
    'web@',
    'web.',
    '-web',
    '_web',
    ':web',
    '/web',
    '@web',
  ],
  ...['.web', 'a+', 'sha=', 'release ', ' release', 'release\n'],
  // docker --env-file keeps the quotation marks of GIT_SHA="".
  ...['""', "''", '"4f2c1d"', "'web'", '()', '\u200b', '?'],
];
const UNSET = [
  'undefined',
  'null',
  'NULL',
  'None',
  'nil',
  'NaN',
  'unknown',
  'unset',
  'web-undefined',
  'web_null',
];
const MOVING = [
  ...[
    'latest',
    'Latest',
    'main',
    'master',
    'HEAD',
    'head',
    'develop',
    'stable',
    'production',
    'true',
    'default',
  ],
  ...['app:latest', 'web-latest', 'origin/main', 'refs/heads/main', 'refs/heads/feature', '1.0-SNAPSHOT'],
  ...['HEAD~1', 'HEAD^', '@~2', 'refs/pull/3/merge', 'refs/remotes/origin/x', 'N/A', 'TBD'],
  // A variable without its $.
  ...['GIT_SHA', 'CI_COMMIT_SHA', 'HEROKU_SLUG_COMMIT', 'IMAGE_TAG'],
  '0000000000000000000000000000000000000000',
];
const FIXED = [
  ...[
    '4f2c1d',
    '4f2c1d9e8b7a6f5e4d3c2b1a0987654321fedcba',
    'release 1',
    'v1.2.3',
    '2026-01-31',
    '1.2.3-rc.1',
  ],
  ...[
    'main-4f2c1d',
    'refs/tags/v1',
    'app:4f2c1d',
    'app@sha256:ab12',
    '20260105_create_shop',
    'seed-dev',
    '5%',
  ],
  ...[
    '100',
    'caf%C3%A9',
    'https://ci.example/build/7',
    '\u{1F600}',
    'remains',
    'nullable',
    'headless',
    'x<y',
  ],
  ...['SEED_DATA', 'say "hi"', 'AddUsers::V1', 'f(x)'],
];

describe('a run key', () => {
  test.each([...UNEXPANDED, ...BROKEN, ...UNSET, ...MOVING])(
    '%j is refused: a variable in it is empty or was not expanded',
    (key) => {
      expect(() => checkRunKey(key)).toThrow(/^--once /);
      try {
        checkRunKey(key, 'MIGRATE_LOCK_ONCE');
      } catch (error) {
        expect(error).toMatchObject({ exitCode: 64, message: expect.stringMatching(/^MIGRATE_LOCK_ONCE /) });
        expect(error).toHaveProperty('hint', expect.stringMatching(/Use a key.*git commit/));
      }
    },
  );

  test.each(FIXED)('%j is accepted', (key) => {
    expect(checkRunKey(key)).toBe(key);
  });
});

describe('a schema name', () => {
  test.each([...UNEXPANDED, ...BROKEN, ...UNSET])(
    '%j is refused: a variable in it is empty or was not expanded',
    (name) => {
      expect(() => checkSchemaName(name)).toThrow(/^--schema /);
      expect(() => new MigrationLock({ connection: 'postgres://u@h/d', schema: name })).toThrow(/^schema /);
    },
  );

  test.each(['pg_lock', 'information_schema'])("%j is PostgreSQL's own", (name) => {
    expect(() => checkSchemaName(name)).toThrow(/PostgreSQL's own/);
  });

  test.each(['migrate_lock', 'main', 'latest', 'Lock 2', 'app.lock', 'a"b', 'schéma'])(
    '%j is accepted',
    (name) => {
      expect(checkSchemaName(name)).toBe(name);
    },
  );
});

test('searches a text of any size in linear time', async () => {
  const tookMs = await processorTimeMs(() => {
    for (const piece of ['$', '$(', '{', '{{', '%', '%(', '<', '<a', '@A', '`', '[object ', '-', '#{', ' ']) {
      // Quadratic work on a text of this length takes minutes; linear work takes about 100 ms of processor time.
      findUnexpanded(piece.repeat(300_000));
    }
  });
  expect(tookMs).toBeLessThan(1_000);
});
