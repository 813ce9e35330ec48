import base from '../../jest.config.js';

/** The tests that run the executable in root filesystems of other images: tests/images. */
/** @type {import('jest').Config} */
export default {
  ...base,
  maxWorkers: 1, // ten processes at once, and leases of seconds
  rootDir: '../..',
  testMatch: ['<rootDir>/tests/images/*.images.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
