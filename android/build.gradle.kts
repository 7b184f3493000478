plugins {
    alias(libs.plugins.android.application) apply false
    // AGP 9 compiles Kotlin itself; this only raises its compiler to the pinned version.
    alias(libs.plugins.kotlin.android) apply false
}
