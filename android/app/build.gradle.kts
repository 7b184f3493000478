plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.mobilenettf.app"
    compileSdk = 37

    defaultConfig {
        applicationId = "org.mobilenettf.app"
        minSdk = 24 // What MediaPipe Tasks and LiteRT 2.3 need.
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        ndk {
            // Phones and emulators of today; both engines ship these two.
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    androidResources {
        // The engines map the model straight from the APK, which compression forbids.
        noCompress += "tflite"
    }
}

dependencies {
    implementation(libs.androidx.activity)
    implementation(libs.androidx.camera.camera2)
    implementation(libs.androidx.camera.core)
    implementation(libs.androidx.camera.lifecycle)
    implementation(libs.androidx.camera.view)
    implementation(libs.androidx.exifinterface)
    implementation(libs.mediapipe.tasks.vision)
    implementation(libs.litert)

    androidTestImplementation(libs.junit)
    androidTestImplementation(libs.androidx.test.runner)
    androidTestImplementation(libs.androidx.test.junit)
}
