import aegir from 'aegir/eslint.config.js'
import house from './scripts/eslint-house.js'

/** A core imports the limits of its folder, so these keep its rules */
const PURE = ['src/**/core/**/*.ts', 'src/*/constants.ts']

export default [
  {
    ignores: ['**/dist/**', '**/node_modules/**', '.docs/**', '.coverage/**', 'coverage/**']
  },
  ...aegir,
  {
    name: 'house/jsdoc',
    rules: {
      // the little JavaScript there is describes trees for which `any` is the honest type
      'jsdoc/reject-any-type': 'off',
      'jsdoc/require-throws-type': 'off'
    }
  },
  {
    name: 'house/unions',
    files: ['**/*.ts'],
    rules: {
      // a switch over a union names each case, and the compiler's types say which: a default would hide a new one
      'default-case': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // `const Lane = { ... } as const` and `type Lane` are one idea; a real redeclaration does not compile
      '@typescript-eslint/no-redeclare': 'off'
    }
  },
  {
    name: 'house/floors',
    files: ['src/**/*.ts'],
    plugins: { house },
    rules: {
      'house/floors': 'error'
    }
  },
  {
    name: 'house/clock',
    files: ['src/**/*.ts'],
    // the rule for cores says it too
    ignores: ['src/runtime/**', ...PURE],
    plugins: { house },
    rules: {
      'house/clock': 'error'
    }
  },
  {
    name: 'house/pure-core',
    files: PURE,
    plugins: { house },
    rules: {
      'house/pure-core': 'error'
    }
  },
  {
    name: 'house/commands',
    // they speak to a person at a terminal
    files: ['bench/**', 'cli/src/**', 'examples/**', 'scripts/**', 'test/sim/simulate.ts', 'test/soak/soak-*.ts'],
    rules: {
      'no-console': 'off'
    }
  }
]
