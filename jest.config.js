/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/tests/**/*.test.ts'],
  // `*.long.test.ts` take longer than 20 seconds on two cores: test:long runs them. test:images, test:tools and test:patroni are for
  // other root filesystems, real tools and a cluster.
  testPathIgnorePatterns: [
    '/node_modules/',
    '\\.(long|images)\\.test\\.ts$',
    '<rootDir>/tests/(tools|patroni)/',
  ],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }] },
  // TypeScript sources import each other as the .js that they become.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  setupFiles: ['<rootDir>/tests/support/one-error-class.mjs'],
  globalSetup: '<rootDir>/tests/support/global-setup.mjs',
  globalTeardown: '<rootDir>/tests/support/global-teardown.mjs',
  // Test files start many processes, and wait a third of the time: three files keep two cores busy.
  maxWorkers: 3,
  testTimeout: 60_000,
};
