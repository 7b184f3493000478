package org.mobilenettf.app

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.RadioGroup
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.RequestPermission
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.view.CameraController
import androidx.camera.view.LifecycleCameraController
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import java.io.IOException

/** Classifies a photo, or what the camera sees. */
class MainActivity : ComponentActivity() {
    private lateinit var classifying: Classifying
    private lateinit var results: ResultsView
    private lateinit var photo: ImageView
    private lateinit var preview: PreviewView
    private lateinit var cameraButton: Button
    private var camera: LifecycleCameraController? = null
    private var photoUri: Uri? = null

    /** Set on the main thread, read by the worker. */
    @Volatile private var engineKind = EngineKind.MEDIAPIPE

    private val pickPhoto =
        registerForActivityResult(PickVisualMedia()) { uri -> if (uri != null) showPhoto(uri) }

    private val askForCamera =
        registerForActivityResult(RequestPermission()) { allowed ->
            if (allowed) startCamera() else results.say(getString(R.string.error_permission))
        }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        classifying = Classifying(applicationContext)
        results = ResultsView(this)
        photo = findViewById(R.id.photo)
        preview = findViewById(R.id.preview)
        cameraButton = findViewById(R.id.camera)
        findViewById<Button>(R.id.choose_photo).setOnClickListener {
            pickPhoto.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly))
        }
        cameraButton.setOnClickListener { if (camera == null) requestCamera() else stopCamera() }
        listenToEngines()
        restore(savedInstanceState)
    }

    /** After a turn of the phone the activity is a new one: show again what was shown. */
    private fun restore(state: Bundle?) {
        if (state == null) return
        engineKind = EngineKind.valueOf(state.getString(ENGINE, EngineKind.MEDIAPIPE.name))
        val uri = state.getString(PHOTO)
        if (uri != null) showPhoto(Uri.parse(uri)) else if (state.getBoolean(CAMERA)) requestCamera()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(ENGINE, engineKind.name)
        outState.putString(PHOTO, photoUri?.toString())
        outState.putBoolean(CAMERA, camera != null)
    }

    override fun onDestroy() {
        super.onDestroy()
        camera?.unbind()
        classifying.close()
    }

    private fun listenToEngines() {
        findViewById<RadioGroup>(R.id.engines).setOnCheckedChangeListener { _, checkedId ->
            val chosen =
                when (checkedId) {
                    R.id.engine_mediapipe -> EngineKind.MEDIAPIPE
                    R.id.engine_litert -> EngineKind.LITERT
                    else -> return@setOnCheckedChangeListener
                }
            if (chosen != engineKind) {
                engineKind = chosen
                photoUri?.let(::showPhoto)
            }
        }
    }

    private fun showPhoto(uri: Uri) {
        stopCamera()
        photoUri = uri
        results.say(getString(R.string.working))
        classifying.executor.execute {
            try {
                val bitmap = readPhoto(contentResolver, uri)
                showOnScreen(bitmap, uri)
                classify(bitmap) { photoUri == uri }
            } catch (error: IOException) {
                sayLater(R.string.error_photo) { photoUri == uri }
            } catch (error: SecurityException) { // The permission to read it has lapsed.
                sayLater(R.string.error_photo) { photoUri == uri }
            } catch (error: OutOfMemoryError) {
                sayLater(R.string.error_photo) { photoUri == uri }
            }
        }
    }

    private fun showOnScreen(bitmap: Bitmap, uri: Uri) {
        // A view's canvas refuses bitmaps of a whole 12 megapixel photo.
        val factor = maxOf(1, maxOf(bitmap.width, bitmap.height) / SCREEN_SIDE)
        val small =
            bitmap.scaledTo(maxOf(1, bitmap.width / factor), maxOf(1, bitmap.height / factor))
        runOnUiThread {
            if (photoUri == uri) {
                photo.setImageBitmap(small)
                photo.visibility = View.VISIBLE
            }
        }
    }

    private fun requestCamera() {
        val state = checkSelfPermission(Manifest.permission.CAMERA)
        if (state == PackageManager.PERMISSION_GRANTED) {
            startCamera()
        } else {
            askForCamera.launch(Manifest.permission.CAMERA)
        }
    }

    private fun startCamera() {
        photoUri = null
        photo.visibility = View.GONE
        results.say(getString(R.string.working))
        val controller = LifecycleCameraController(this)
        controller.setEnabledUseCases(CameraController.IMAGE_ANALYSIS)
        controller.imageAnalysisOutputImageFormat = ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888
        controller.setImageAnalysisAnalyzer(classifying.executor) { frame ->
            val upright = frame.use(::uprightFrame)
            classify(upright) { camera == controller }
        }
        camera = controller
        cameraButton.setText(R.string.stop_camera)
        preview.visibility = View.VISIBLE
        val ready = controller.initializationFuture
        ready.addListener({ bind(controller) { ready.get() } }, ContextCompat.getMainExecutor(this))
    }

    private fun bind(controller: LifecycleCameraController, waitUntilReady: () -> Unit) {
        if (camera != controller || isDestroyed) return
        try {
            waitUntilReady() // Throws where the phone's cameras cannot be used.
            if (!controller.hasCamera(controller.cameraSelector)) {
                controller.cameraSelector = CameraSelector.DEFAULT_FRONT_CAMERA
            }
            controller.bindToLifecycle(this)
            preview.controller = controller
        } catch (error: Exception) { // CameraX wraps the reason in several ways.
            stopCamera()
            results.say(getString(R.string.error_camera))
        }
    }

    private fun stopCamera() {
        val controller = camera ?: return
        camera = null
        controller.clearImageAnalysisAnalyzer()
        controller.unbind()
        preview.controller = null
        preview.visibility = View.GONE
        cameraButton.setText(R.string.start_camera)
        results.say(getString(R.string.hint))
    }

    /** On the worker: classifies, and shows the answer if [isWanted] still holds. */
    private fun classify(image: Bitmap, isWanted: () -> Boolean) {
        val kind = engineKind
        try {
            val answer = classifying.classify(kind, image)
            runOnUiThread { if (isWanted()) results.show(answer, nameOf(kind)) }
        } catch (error: BundleException) {
            sayLater(R.string.error_bundle, isWanted)
        } catch (error: EngineException) {
            sayLater(R.string.error_engine, isWanted)
        } catch (error: RuntimeException) { // Both engines throw their own, unchecked.
            sayLater(R.string.error_run, isWanted)
        }
    }

    private fun sayLater(sentence: Int, isWanted: () -> Boolean) {
        runOnUiThread { if (isWanted()) results.say(getString(sentence, nameOf(engineKind))) }
    }

    private fun nameOf(kind: EngineKind): String =
        getString(
            when (kind) {
                EngineKind.MEDIAPIPE -> R.string.engine_mediapipe
                EngineKind.LITERT -> R.string.engine_litert
            }
        )

    private companion object {
        const val ENGINE = "engine"
        const val PHOTO = "photo"
        const val CAMERA = "camera"
        const val SCREEN_SIDE = 1024
    }
}
