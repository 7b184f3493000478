package androidx.camera.view

import android.content.Context
import android.widget.FrameLayout
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.lifecycle.LifecycleOwner
import com.google.common.util.concurrent.ListenableFuture
import java.util.concurrent.Executor

abstract class CameraController {
    val initializationFuture: ListenableFuture<Void> get() = TODO()
    var cameraSelector: CameraSelector
        get() = TODO()
        set(value) = TODO()
    var imageAnalysisOutputImageFormat: Int = 0

    fun setEnabledUseCases(useCases: Int) {}

    fun hasCamera(selector: CameraSelector): Boolean = TODO()

    fun setImageAnalysisAnalyzer(executor: Executor, analyzer: ImageAnalysis.Analyzer) {}

    fun clearImageAnalysisAnalyzer() {}

    companion object {
        const val IMAGE_ANALYSIS = 2
    }
}

class LifecycleCameraController(context: Context) : CameraController() {
    fun bindToLifecycle(owner: LifecycleOwner) {}

    fun unbind() {}
}

class PreviewView : FrameLayout() {
    var controller: CameraController? = null
}
