import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { recognizePrisma, recognizeTool } from '../../../src/recover/recognize.js';

const words = (line: string): string[] => line.split(' ');
const recovery = (line: string): string | undefined => recognizeTool(words(line))?.recovery.join(' ');

describe('knex', () => {
  test.each([
    ['knex migrate:latest', 'knex migrate:unlock'],
    ['knex migrate:up 001_a.js --disable-transactions', 'knex migrate:unlock'],
    ['knex migrate:rollback --all', 'knex migrate:unlock'],
    ['knex migrate:to 001_a.js', 'knex migrate:unlock'],
    [
      'knex --knexfile db/knexfile.js migrate:latest --env production --verbose --esm',
      'knex --knexfile db/knexfile.js migrate:unlock --env production --esm',
    ],
    [
      'knex migrate:latest --cwd=/app --client pg --connection postgres://a/b --migrations-table-name m --debug',
      'knex migrate:unlock --cwd=/app --client pg --connection postgres://a/b --migrations-table-name m',
    ],
  ])('%s', (line, expected) => {
    expect(recognizeTool(words(line))).toEqual({ tool: 'knex', recovery: words(expected) });
  });

  test.each([
    'knex',
    'knex migrate:list',
    'knex migrate:unlock',
    'knex migrate:currentVersion',
    'knex migrate:make a',
    'knex seed:run',
    'knex migrate:latest extra',
    'knex migrate:latest --env',
    'knex migrate:latest --env --esm',
    'knex --env migrate:latest',
    'knex --unknown migrate:latest',
    'knex migrate:latest --unknown=1',
    'knex migrate:latest --esm=true',
    'knex migrate:latest -- --all',
    'knex -- migrate:latest',
    'knex -h',
    'KNEX migrate:latest',
    'knex MIGRATE:LATEST',
    'knexx migrate:latest',
    'knex-migrator migrate',
  ])('is not recognized: %s', (line) => {
    expect(recovery(line)).toBeUndefined();
  });

  test('an empty value and a value with spaces stay as they are', () => {
    expect(
      recognizeTool(['knex', 'migrate:latest', '--connection', 'host=a b', '--env', ''])?.recovery,
    ).toEqual(['knex', 'migrate:unlock', '--connection', 'host=a b', '--env', '']);
  });
});

describe('Liquibase', () => {
  test.each([
    ['liquibase update', 'liquibase releaseLocks'],
    [
      'liquibase --defaults-file a.properties update --changelog-file c.xml --url jdbc:postgresql://h/d --username u --password p',
      'liquibase --defaults-file a.properties releaseLocks --url jdbc:postgresql://h/d --username u --password p',
    ],
    [
      'liquibase --changeLogFile=c.xml --defaultsFile=a --liquibaseSchemaName=s --logLevel=info updateCount 5 -Dx=y',
      'liquibase --defaultsFile=a --liquibaseSchemaName=s releaseLocks',
    ],
    ['liquibase update-to-tag --tag v1 --labels a', 'liquibase releaseLocks'],
    ['liquibase updateTestingRollback', 'liquibase releaseLocks'],
    ['/opt/liquibase/liquibase rollback v1', '/opt/liquibase/liquibase releaseLocks'],
  ])('%s', (line, expected) => {
    expect(recognizeTool(words(line))).toEqual({ tool: 'liquibase', recovery: words(expected) });
  });

  test.each([
    'liquibase update-sql',
    'liquibase status',
    'liquibase release-locks',
    'liquibase drop-all',
    'liquibase update --url',
    'liquibase update --url --password=x',
    'liquibase update --unknown x',
    'liquibase -v update',
    'liquibase update now',
  ])('is not recognized: %s', (line) => {
    expect(recovery(line)).toBeUndefined();
  });
});

describe('what starts the tool', () => {
  test.each([
    'npx',
    'npx -y',
    'npx --no-install --',
    'npx -p knex -p pg',
    'npx --package=knex@3',
    'npm exec --',
    'npm x -y --package knex --',
    'pnpm',
    'pnpm exec',
    'pnpm -C api --silent exec',
    'pnpm --filter=api run',
    'pnpm dlx --package pg',
    'yarn',
    'yarn run',
    'yarn --cwd api run',
    'yarn workspace api',
    'yarn dlx -p pg',
    'bunx',
    'bunx --bun',
    'bun x',
    'bun run',
    'env A=1 B=',
    'cross-env NODE_ENV=production',
    'dotenv -e .env --',
    'dotenvx run -f .env --',
    'doppler run --',
    'env A=1 npx -y dotenv --',
    '/usr/local/bin/npx',
  ])('%s knex', (starter) => {
    expect(recovery(`${starter} knex migrate:latest --env a`)).toBe(`${starter} knex migrate:unlock --env a`);
  });

  test.each([
    ...[
      'npx knex@3',
      'npx knex@latest',
      'pnpm dlx knex@3.1.0',
      'yarn dlx knex@^3',
      'bunx knex@3',
      'npm exec -- knex@3',
    ],
    ...['./node_modules/.bin/knex', '/app/node_modules/.bin/knex', 'node_modules/knex/bin/cli.js'],
    ...[
      'node node_modules/.bin/knex',
      'node ./node_modules/knex/bin/cli.js',
      '/usr/bin/node /app/node_modules/.bin/knex',
    ],
    ...['node --env-file=.env -r dotenv/config --import tsx --no-warnings node_modules/.bin/knex'],
    ...['tsx node_modules/.bin/knex', 'npx tsx ./node_modules/knex/bin/cli.js'],
  ])('%s', (program) => {
    expect(recovery(`${program} migrate:latest`)).toBe(`${program} migrate:unlock`);
  });

  test.each([
    'npx -c knex',
    'npx --unknown knex',
    'npx @scope/knex',
    'npx user/knex',
    'npx github:user/knex',
    'npx -p',
    'npm exec knex',
    'npm run knex',
    'npm run migrate --',
    'knex@3',
    'pnpm -r exec knex',
    'pnpm install knex',
    'yarn exec knex',
    'yarn migrate',
    'bun knex',
    'bun knex.js',
    'node knex',
    'node -e knex',
    'node -p node_modules/.bin/knex',
    'node --eval=1 node_modules/.bin/knex',
    'node --conditions a node_modules/.bin/knex',
    'node scripts/knex.js',
    'node scripts/migrate.js knex',
    'env -i knex',
    'env A=1',
    'dotenv knex',
    'dotenv -e .env --',
    'sudo knex',
    'timeout 60 knex',
    'nice knex',
    'sh -c knex',
    'xargs knex',
    'echo knex',
    'docker run knex',
  ])('is not recognized: %s', (starter) => {
    expect(recovery(`${starter} migrate:latest`)).toBeUndefined();
  });

  test('a script for a shell is not read', () => {
    expect(recognizeTool(['sh', '-c', 'knex migrate:latest'])).toBeUndefined();
    expect(recognizeTool(['bash', '-lc', 'npx knex migrate:latest'])).toBeUndefined();
    expect(recognizeTool([])).toBeUndefined();
    expect(recognizeTool([''])).toBeUndefined();
  });
});

describe('prisma', () => {
  test.each([
    ['prisma migrate deploy', 'prisma migrate resolve'],
    [
      'npx prisma@6 migrate deploy --schema=db/schema.prisma --config prisma.config.ts',
      'npx prisma@6 migrate resolve --schema=db/schema.prisma --config prisma.config.ts',
    ],
    [
      'node node_modules/prisma/build/index.js migrate deploy',
      'node node_modules/prisma/build/index.js migrate resolve',
    ],
  ])('%s', (line, expected) => {
    expect(recognizePrisma(words(line))?.resolve).toEqual(words(expected));
    expect(recognizeTool(words(line))).toBeUndefined();
  });

  test.each([
    'prisma migrate dev',
    'prisma migrate',
    'prisma db push',
    'prisma deploy migrate',
    'prisma migrate reset',
  ])('is not recognized: %s', (line) => {
    expect(recognizePrisma(words(line))).toBeUndefined();
  });
});

describe('any command line', () => {
  const WORDS = [
    ...[
      'knex',
      'liquibase',
      'npx',
      'npm',
      'pnpm',
      'yarn',
      'bunx',
      'bun',
      'node',
      'env',
      'dotenv',
      'exec',
      'x',
      'run',
      'dlx',
    ],
    ...[
      '--',
      '-y',
      '-p',
      '--package',
      '--package=knex',
      'knex@3',
      './node_modules/.bin/knex',
      'A=1',
      'sh',
      '-c',
      '-r',
    ],
    ...[
      'migrate:latest',
      'migrate:up',
      'migrate:unlock',
      'update',
      'update-count',
      'releaseLocks',
      '--all',
      '--esm',
    ],
    ...[
      '--env',
      '--env=a',
      '--connection',
      '--knexfile',
      '--url',
      '--url=a',
      '--password',
      '--changelog-file',
      '-Da=b',
    ],
    ...[
      '',
      '-',
      '--=',
      '=',
      '__proto__',
      'constructor',
      '--constructor',
      '--__proto__',
      'toString',
      ';',
      '$(id)',
      '-rf',
    ],
  ];
  const CONNECTING =
    /^--(env|knexfile|knexpath|cwd|client|connection|migrations-directory|migrations-table-name|url|username|password|driver|driver-?properties-?file|database-?class|classpath|defaults-?file|default-?(schema|catalog)-?name|liquibase-?(schema|catalog)-?name|database-?change-?log-?(lock-?)?table-?name)(=|$)/i;

  /** Whether the recovery is `given` up to its word `end`, then the unlock once, and given connection options in order. */
  function isRightFrom(
    end: number,
    given: readonly string[],
    found: readonly string[],
    unlock: string,
  ): boolean {
    if (!/(^|\/)(knex|liquibase)(@3)?$/.test(found[end - 1] ?? '')) return false;
    if (found.slice(0, end).some((word, index) => word !== given[index])) return false;
    const added = found.slice(end);
    let unlocks = 0;
    let at = end;
    for (let index = 0; index < added.length; index += 1) {
      const word = added[index] ?? '';
      if (word === unlock) {
        unlocks += 1;
        continue;
      }
      if (word !== '--esm' && !CONNECTING.test(word)) return false;
      const takesNext = word !== '--esm' && !word.includes('=');
      const option = takesNext ? [word, added[index + 1]] : [word];
      while (at < given.length && option.some((part, offset) => given[at + offset] !== part)) at += 1;
      if (at >= given.length) return false;
      at += option.length;
      index += option.length - 1;
    }
    return unlocks === 1;
  }

  test('a recovery is the same words before, the unlock, and given connection options, in their order', () => {
    let recognized = 0;
    const anyWord = fc.constantFrom(...WORDS);
    const part = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom(['--env', 'a'], ['--url', 'b'], ['--password=c'], ['--esm'], ['--all']),
      },
      { weight: 1, arbitrary: anyWord.map((word) => [word]) },
    );
    const starters = fc.constantFrom(
      [],
      ['npx'],
      ['npx', '-y', '--'],
      ['pnpm', 'exec'],
      ['env', 'A=1'],
      ['node'],
    );
    const argv = fc.oneof(
      fc.array(fc.oneof(anyWord, fc.string()), { maxLength: 12 }),
      fc
        .tuple(
          starters,
          fc.constantFrom('knex', 'liquibase', './node_modules/.bin/knex', 'knex@3'),
          fc.array(part, { maxLength: 3 }),
          fc.constantFrom('migrate:latest', 'migrate:up', 'update', 'updateCount', 'status'),
          fc.array(part, { maxLength: 3 }),
        )
        .map(([starter, program, before, command, after]) => [
          ...starter,
          program,
          ...before.flat(),
          command,
          ...after.flat(),
        ]),
    );
    fc.assert(
      fc.property(argv, (given) => {
        const found = recognizeTool(given);
        if (found === undefined) return;
        recognized += 1;
        const unlock = found.tool === 'knex' ? 'migrate:unlock' : 'releaseLocks';
        const ends = found.recovery.map((_, index) => index + 1);
        expect(ends.some((end) => isRightFrom(end, given, found.recovery, unlock))).toBe(true);
      }),
      { numRuns: 20_000 },
    );
    expect(recognized).toBeGreaterThan(500);
  });
});
